"""What the documents point to is there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rt_melody.realtime.cli import main
from rt_melody.realtime.commands import COMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/results/*.md", "findings/*.md")
    for path in CHECKOUT.glob(pattern)
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


def anchors(text: str) -> set[str]:
    """What GitHub, and MyST as ``docs/conf.py`` asks it to, call the headings of a page."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", plain, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_anchor_of_a_link_is_a_heading_there(document):
    path = CHECKOUT / document
    links = re.findall(r"\]\(([^):]*)#([^)]+)\)", path.read_text(encoding="utf-8"))
    targets = [(path.parent / page if page else path, anchor) for page, anchor in links]
    assert [(str(page), anchor) for page, anchor in targets if anchor not in anchors(page.read_text(encoding="utf-8"))] == []


def test_anchors_are_those_that_links_have_to_name():
    assert anchors("# What it's for\n```sh\n# no heading\n```\n## CC 74, MPE\n") == {"what-its-for", "cc-74-mpe"}


def pages_below(page: Path) -> set[Path]:
    """The page and all that its tables of contents lead to."""
    tables = re.findall(r"^```{toctree}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    names = [line for table in tables for line in table.splitlines() if re.fullmatch(r"[\w/-]+", line)]
    return {page}.union(*(pages_below(page.parent / f"{name}.md") for name in names))


def test_every_page_stands_in_the_contents():
    docs = CHECKOUT / "docs"
    assert set(docs.rglob("*.md")) - pages_below(docs / "index.md") == set()


def test_the_front_door_is_short_and_its_commands_stand_in_one_line_each():
    """CI runs the two as they stand there."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 90
    commands = re.findall(r"^python3 -m venv .*$", text, flags=re.M)
    assert [("--input demo" in line, "pytest" in line) for line in commands] == [(True, False), (False, True)]


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OTHER_PROGRAMS = {"training", "how-it-works", "comparison", "reliability", "latency"}  # pages with commands of python -m and torchrun


MODULE = re.compile(r"python -m (rt_melody\.benchmarks\.\w+)")


def test_every_option_that_a_page_names_is_there(capsys, monkeypatch):
    """Those of rt-melody, or of the modules whose commands stand on the page."""
    for words in ([], *([name] for name in COMMANDS)):
        assert main([*words, "--help"]) == 0
    known = set(OPTION.findall(capsys.readouterr().out))
    named = 0
    for page in [CHECKOUT / "README.md", *(page for page in (CHECKOUT / "docs").rglob("*.md") if page.stem not in OTHER_PROGRAMS)]:
        text = page.read_text(encoding="utf-8")
        for module in set(MODULE.findall(text)):
            monkeypatch.setattr(sys, "argv", [module, "--help"])
            with pytest.raises(SystemExit):
                importlib.import_module(module).main()
        of_modules = OPTION.findall(capsys.readouterr().out)
        assert set(OPTION.findall(text)) <= known | set(of_modules), page.name
        named += len(set(OPTION.findall(text)))
    assert named > 50


@pytest.mark.slow
def test_the_documents_build_without_a_warning(tmp_path):
    for needed in ("sphinx", "myst_parser", "furo", "sphinxcontrib.mermaid"):
        pytest.importorskip(needed)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "html")]
    built = subprocess.run([*command, "-d", str(tmp_path / "trees")], cwd=CHECKOUT, capture_output=True, text=True, timeout=240)
    assert (built.returncode, built.stderr) == (0, "")
    assert "What is known of one moment of the sound" in (tmp_path / "html" / "api.html").read_text(encoding="utf-8")


def test_the_picture_names_the_classes_that_are_there():
    picture = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    boxes = re.findall(r'\["(\w+)[^"<]*(?:<br/>|: )((?:realtime|models)/[\w/.]+\.py)', picture)
    assert len(boxes) > 8
    for name, path in boxes:
        if name[0].isupper() and name not in ("MIDI", "OSC", "CSV"):
            assert f"class {name}" in (CHECKOUT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_what_is_added_to_an_installed_program_is_named_as_pip_knows_it():
    """``'.[EXTRA]'`` is right in the program's folder alone, ``'rt-melody[EXTRA]'`` wherever it was installed from."""
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("**/*.md"), *(CHECKOUT / "docs").glob("*.ipynb")]
    modules = [path for room in ("realtime", "models", "kernels", "benchmarks") for path in (CHECKOUT / room).glob("**/*.py")]
    lines = [line for path in [*pages, *modules] for line in path.read_text(encoding="utf-8").splitlines() if "'.[" in line]
    there = ("'.[dev]'", "in the program's folder", "'.[train,plot]'` in a")  # a checkout, says the next line
    assert [line for line in lines if not any(word in line for word in there)] == []
    extras = set(re.findall(r"^(\w+) = \[", (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M))
    given = re.findall(r"rt-melody\[([\w,]+)\]", "".join(path.read_text(encoding="utf-8") for path in pages))
    named = {name for names in given for name in names.split(",")}
    assert named and named <= extras
