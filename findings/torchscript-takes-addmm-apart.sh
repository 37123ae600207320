#!/usr/bin/env bash
# Version: torch 2.13.0 (CPU), Python 3.11, Linux, x86-64
# Behaviour: torch.addmm is one operation: the product is added to the bias in place. A scripted module that calls it, frozen or not,
#   and in inference mode too, runs aten::mm and then aten::add from its first call on: the executor's optimisation takes the call
#   apart. One would expect optimisation to leave one operation one. So the module passes over its output once more, allocates it
#   twice, and differs from the same module in eager mode in the last bits.
#   Within torch.jit.optimized_execution(False) it runs aten::addmm, and equals eager mode to the bit.
# Seen: eager addmm; optimised mm add, differs True; not optimised addmm, differs False
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0

cat >apart.py <<'END'
import warnings

import torch

warnings.simplefilter("ignore")
torch.manual_seed(0)
torch.set_num_threads(1)


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(960, 352))
        self.bias = torch.nn.Parameter(torch.randn(352))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x, self.weight)


def seen(optimised: bool) -> tuple[str, bool]:
    """The operations that a fresh frozen module ran, and whether its result differs from eager mode's."""
    frozen = torch.jit.freeze(torch.jit.script(layer))
    with torch.jit.optimized_execution(optimised):
        result = frozen(x)
        nodes = torch.jit.last_executed_optimized_graph().nodes()
        return " ".join(n.kind().removeprefix("aten::") for n in nodes if n.kind().startswith("aten::")), not torch.equal(result, eager)


layer, x = Layer().eval(), torch.randn(6, 960)
with torch.inference_mode():
    eager = layer(x)
    (ran, differs), (ran_plainly, differs_plainly) = seen(True), seen(False)
print(f"eager addmm; optimised {ran}, differs {differs}; not optimised {ran_plainly}, differs {differs_plainly}")
assert (ran, ran_plainly) == ("mm add", "addmm") and not differs_plainly
END
venv/bin/python apart.py 2>/dev/null
