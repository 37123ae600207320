"""Findings keep to the form that findings/README.md asks for; what they show is checked by running them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
HEADS = ("Version", "Behaviour", "Seen")


def faults(text: str, executable: bool = True) -> list[str]:
    """What a finding's text lacks."""
    found = [] if executable else ["is not executable"]
    head = text.split("\nset -euo pipefail\n")[0]
    if not text.startswith("#!/usr/bin/env bash\n") or head == text:
        found.append("does not begin with #!/usr/bin/env bash, comments, and set -euo pipefail")
    found += [f"does not state: # {name}: ..." for name in HEADS if not re.search(rf"^# {name}: \S.{{10,}}", head, re.M)]
    if "mktemp -d" not in text or "trap " not in text:
        found.append("does not work in a temporary folder that it removes")
    if re.search(r"^[^#\n]*(rt_melody|rt-melody)", text, re.M):
        found.append("uses rt-melody")
    unpinned = [words for words in re.findall(r"^[^#\n]*pip\S* install (.*)", text, re.M) if not re.search(r"\w==\d|--no-deps", words)]
    return found + [f"installs without a pinned version: {words}" for words in unpinned]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_finding_has_the_form(script):
    assert faults(script.read_text(encoding="utf-8"), os.access(script, os.X_OK)) == []


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_bash_can_read_a_finding(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_nothing_else_lies_beside_them():
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *(path.name for path in SCRIPTS)}


GOOD = """#!/usr/bin/env bash
# Version: something 1.2.3, Linux
# Behaviour: it does this, where one expects that
# Seen: this, and not that
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pip install --target "$folder" something==1.2.3
"""


@pytest.mark.parametrize(
    "change, says",
    [
        (("#!/usr/bin/env bash", "#!/bin/sh"), "does not begin with"),
        (("set -euo pipefail\n", ""), "does not begin with"),
        (("# Version: something 1.2.3, Linux\n", ""), "# Version"),
        (("it does this, where one expects that", "?"), "# Behaviour"),
        (("# Seen: this, and not that", ""), "# Seen"),
        (("mktemp -d", "pwd"), "temporary folder"),
        (("==1.2.3", ""), "without a pinned version"),
        (("pip install", "python -c 'import rt_melody'\npip install"), "uses rt-melody"),
    ],
)
def test_the_check_sees_each_fault(change, says):
    assert faults(GOOD) == [] and faults(GOOD, executable=False) == ["is not executable"]
    assert any(says in fault for fault in faults(GOOD.replace(*change)))
