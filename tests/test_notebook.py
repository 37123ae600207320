"""The notebook in docs/ runs from its first cell to its last, and shows what it means to show.

As a script: the cells hold plain Python, and a kernel would take longer to begin than they take to run.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "research.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(in_folder):
    for library in ("pandas", "mir_eval", "jams", "pyarrow"):
        pytest.importorskip(library)
    pytest.importorskip("matplotlib").use("Agg")
    names: dict[str, object] = {}
    shown = [_run("".join(cell["source"]), names) for cell in _cells() if cell["cell_type"] == "code"]
    assert repr(shown[0]).startswith("<Melody 5.00 s, 500 frames") and len(shown[2]) == len(names["melody"].notes) > 5
    assert "song.jams" in shown[6] and len(shown[7]) == len(shown[2])


def test_the_notebook_holds_no_results():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in _cells() if cell["cell_type"] == "code")


def _cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def _run(source: str, names: dict[str, object]) -> object:
    """What the cell shows: the value of its last line, where that is an expression."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
