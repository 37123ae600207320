"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/control.md",
    "docs/plugin.md",
    "docs/reliability.md",
    "docs/synths.md",
    "CHANGELOG.md",
    "benchmarks/results/README.md",
    "benchmarks/results/plugin.md",
    "findings/README.md",
)
PATHS = re.compile(r"(?<![\w./-])((?:realtime|kernels|models|tests|docs|benchmarks|findings|typings)/[\w/*.-]*[\w/*])")


def named_paths(text: str) -> set[str]:
    """Paths of this checkout that a text names outside of its examples; ``NAME`` in capitals stands for another."""
    text = re.sub(r"^```python\n.*?^```$", "", text, flags=re.M | re.S)
    return {path for path in PATHS.findall(text) if not re.search(r"\bNAME\b", path)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(document):
    named = named_paths((CHECKOUT / document).read_text(encoding="utf-8"))
    assert [path for path in sorted(named) if not list(CHECKOUT.glob(path))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(document):
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (CHECKOUT / document).parent.joinpath(link).exists()] == []


def test_the_picture_names_the_classes_that_are_there():
    picture = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    boxes = re.findall(r'\["(\w+)[^"<]*(?:<br/>|: )((?:realtime|models)/[\w/.]+\.py)', picture)
    assert len(boxes) > 8
    for name, path in boxes:
        if name[0].isupper() and name not in ("MIDI", "OSC", "CSV"):
            assert f"class {name}" in (CHECKOUT / path).read_text(encoding="utf-8"), f"{path} has no {name}"
