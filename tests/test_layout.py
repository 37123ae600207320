"""The rooms of the house and who may import whom, read from the source by `ast`.

A floor may import what lies below it: benchmarks over realtime over models and kernels; inside realtime, cli
over the package itself (its public API) over session over the melody tracker over engine over sources, notes and sinks
over settings over types. A module that has no place in the tables below fails the test: give it one.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("realtime", "kernels", "models", "benchmarks")
OURS = "rt_melody"

# room -> rooms it may import from besides itself; the longest matching prefix counts.
MAY_IMPORT = {
    "kernels": (),
    "models": (),
    "models.training": ("models", "kernels"),
    "realtime": ("models", "kernels"),
    "benchmarks": ("realtime", "models", "models.training", "kernels"),
}

# Inside realtime: a module may import from strictly lower ranks, and from its own sub-package.
RANKS = (
    ("realtime.shell",),
    ("realtime.types", "realtime.errors", "realtime.signals", "realtime.timing.scheduling"),
    ("realtime.paths", "realtime.libjack", "realtime.atomic"),
    (
        "realtime.instrument", "realtime.timing", "realtime.ring", "realtime.jack_watch", "realtime.console", "realtime.midi_bytes",
        "realtime.latency",
        "realtime.levels", "realtime.sterile", "realtime.unused", "realtime.version",
        "realtime.sources.devices",
        "realtime.playing.expression", "realtime.playing.scale",
    ),
    ("realtime.settings",),
    ("realtime.sources", "realtime.sinks", "realtime.notes", "realtime.playing", "realtime.decoder", "realtime.reference",
     "realtime.control", "realtime.calibration"),
    ("realtime.frontend",),
    ("realtime.engine", "realtime.jack"),
    ("realtime.melody",),
    ("realtime.formats",),
    ("realtime.selftest", "realtime.session", "realtime.api", "realtime.panel", "realtime.band"),
    ("realtime.plugin",),
    ("realtime.checks",),
    ("realtime", "realtime.program"),
    ("realtime.corpus",),
    ("realtime.commands",),
    ("realtime.options",),
    ("realtime.commands.extract",),
    ("realtime.cli",),
    ("realtime.start",),
)

# import name -> the requirement of pyproject.toml that brings it, where the two differ.
REQUIREMENT = {
    "yaml": "pyyaml",
    "rtmidi": "python-rtmidi",
    "supriya_midi": "supriya-midi",
    "pythonosc": "python-osc",
    "jack": "JACK-Client",
    "llvmlite": "numba",
    "parselmouth": "praat-parselmouth",
    "pesto": "pesto-pitch",
    "swift_f0": "swift-f0",
}
EXTRAS = {
    "realtime.jack": ("jack",),
    "realtime.panel": ("panel",),
    "realtime.api": ("formats", "plot"),
    "realtime.formats": ("formats",),
    "realtime.corpus": ("formats", "cluster"),
    "realtime.commands.plot": ("plot",),
    "models.training": ("train",),
    "benchmarks": ("bench", "plot", "datasets", "rig"),
    "benchmarks.peers": ("bench", "plot", "peers"),
}
# Imported where present, and no requirement: one clashes with others, one comes with those that want it, one is for an hour.
UNASKED = {"basic_pitch", "torchaudio", "atheris"}
IMPORTED_WHEN_OPENED = ("sounddevice", "rtmidi", "supriya_midi")
TORCHSCRIPT = "models.torchscript"


def module_name(path: Path) -> str:
    """`realtime.sinks.midi` for realtime/sinks/midi.py; a package goes by its folder."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(p): p.read_text(encoding="utf-8") for room in ROOMS for p in sorted((CHECKOUT / room).rglob("*.py"))}
TESTS = {path.relative_to(CHECKOUT).as_posix(): path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "tests").rglob("*.py"))}


def imports(source: str, top_level_only: bool = False) -> list[str]:
    """Full dotted names that a source imports; `from a import b` counts as `a.b`."""
    tree = ast.parse(source)
    names = []
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += ["." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def our_module(name: str, known: dict[str, str]) -> str:
    """`realtime.types` for `rt_melody.realtime.types.NoteOn`: the longest part that is a module."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts)


def matching(name: str, prefixes) -> str | None:
    """The longest of ``prefixes`` that is ``name`` or a package around it."""
    fit = [prefix for prefix in prefixes if name == prefix or name.startswith(prefix + ".")]
    return max(fit, key=len, default=None)


def rank(module: str) -> int | None:
    exact = [level for level, names in enumerate(RANKS) if module in names]
    if exact:
        return exact[0]
    inner = [level for level, names in enumerate(RANKS) if matching(module, [n for n in names if n != "realtime"])]
    return inner[0] if inner else None


def same_package(module: str, other: str) -> bool:
    """Both in one sub-package of realtime, such as `realtime.sinks`."""
    return other.split(".")[:2] == module.split(".")[:2] and module != "realtime"


def breach(module: str, target: str) -> str | None:
    """Why ``module`` may not import our module ``target``; None where it may."""
    room, target_room = matching(module, MAY_IMPORT), matching(target, MAY_IMPORT)
    if target_room is None:
        return f"{module} imports {OURS} itself, which is only a namespace"
    if room != target_room:
        return None if target_room in MAY_IMPORT[room] else f"{module} ({room}) may not import {target} ({target_room})"
    if room != "realtime" or same_package(module, target):
        return None
    if rank(module) is None or rank(target) is None:
        return f"{module} -> {target}: one of them has no place in RANKS"
    return None if rank(target) < rank(module) else f"{module} (rank {rank(module)}) may not import {target} (rank {rank(target)})"


def breaches(sources: dict[str, str]) -> list[str]:
    """Every import among our own modules that goes against the plan."""
    found = []
    for module, source in sources.items():
        for name in imports(source):
            if name.startswith("."):
                found.append(f"{module} uses a relative import; say {OURS}.* in full")
            elif name.split(".")[0] == OURS:
                found.append(breach(module, our_module(name, sources)))
            elif name.split(".")[0] in ROOMS:
                found.append(f"{module} imports the bare name {name}; say {OURS}.{name}")
    return [text for text in found if text]


def says_torch_jit(source: str) -> bool:
    """Whether a source reaches for torch.jit in any spelling."""
    dotted = (ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return any(name == "torch.jit" for name in dotted) or any(re.match(r"torch\.jit\b", name) for name in imports(source))


# --- the tree as it is


def test_every_import_goes_down():
    assert breaches(SOURCES) == []


def cycles(sources: dict[str, str]) -> list[str]:
    """The modules of realtime that import themselves by way of others, imports for types and in functions included."""
    graph = {
        module: {our_module(name, sources) for name in imports(source) if name.split(".")[0] == OURS} - {module}
        for module, source in sources.items()
        if matching(module, ("realtime",))
    }
    while ends := [module for module, targets in graph.items() if not targets & graph.keys()]:
        for module in ends:
            del graph[module]
    return [module for module in graph if module in reached(module, graph)]


def reached(module: str, graph: dict[str, set[str]]) -> set[str]:
    found, ahead = set[str](), [module]
    while ahead:
        new = graph.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


def test_nothing_imports_itself_by_way_of_others():
    assert cycles(SOURCES) == []


def test_a_cycle_is_seen():
    loop = {"realtime.a": "from rt_melody.realtime.b import B", "realtime.b": "if T:\n    from rt_melody.realtime.a import A"}
    assert cycles({"realtime": "", **loop, "realtime.c": "from rt_melody.realtime.a import A"}) == ["realtime.a", "realtime.b"]


def test_tests_use_the_installed_name():
    bare = [(path, name) for path, source in TESTS.items() for name in imports(source) if name.split(".")[0] in ROOMS]
    assert bare == []


@pytest.mark.slow
def test_torch_jit_is_spoken_in_one_file():
    assert {module for module, source in SOURCES.items() if says_torch_jit(source)} <= {TORCHSCRIPT}


def test_devices_are_imported_only_when_opened():
    early = [(m, n) for m, s in SOURCES.items() for n in imports(s, top_level_only=True) if n.split(".")[0] in IMPORTED_WHEN_OPENED]
    assert early == []


def foreign(module: str) -> set[str]:
    """Top names of what a module imports that is neither ours nor Python's."""
    tops = {name.split(".")[0] for name in imports(SOURCES[module]) if not name.startswith(".")}
    return tops - set(sys.stdlib_module_names) - {OURS, *ROOMS}


def test_kernels_need_numpy_and_numba_alone():
    kernels = [module for module in SOURCES if matching(module, ("kernels",))]
    assert {name for module in kernels for name in foreign(module)} <= {"numpy", "numba", "llvmlite"}, "llvmlite is numba's"


def test_types_need_python_alone():
    assert foreign("realtime.types") == set()


# --- the packaging tables agree with the disk and the imports


@pytest.fixture(scope="module")
def project() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def test_packages_are_the_folders_on_disk(project):
    folders = {".".join(p.parent.relative_to(CHECKOUT).parts) for room in ROOMS for p in (CHECKOUT / room).rglob("*.py")}
    without_init = [folder for folder in folders if folder not in SOURCES]
    assert without_init == [], "folders with code but no __init__.py"
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted([OURS, *(f"{OURS}.{folder}" for folder in folders)])
    assert project["tool"]["setuptools"]["package-dir"] == {OURS: "."}


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", requirement)[0] for requirement in requirements}


def test_every_foreign_import_is_declared(project):
    core = requirement_names(project["project"]["dependencies"])
    extras = {name: requirement_names(wants) for name, wants in project["project"]["optional-dependencies"].items()}
    for module in SOURCES:
        declared = core.union(*(extras[extra] for extra in EXTRAS.get(matching(module, EXTRAS) or "", ())))
        missing = {name for name in foreign(module) - UNASKED if REQUIREMENT.get(name, name) not in declared}
        assert not missing, f"{module} imports {sorted(missing)}, which pyproject.toml does not ask for"


# --- the checker itself: each rule, broken on purpose


@pytest.mark.parametrize(
    "module, line, word",
    [
        ("kernels.viterbi", "from rt_melody.realtime.types import PitchFrame", "may not import"),
        ("models.network", "import rt_melody.realtime.types", "may not import"),
        ("realtime.engine", "from rt_melody.models.training import train", "may not import"),
        ("realtime.engine", "def f():\n    from rt_melody import benchmarks", "may not import"),
        ("realtime.sinks.midi", "from rt_melody.realtime.sources.base import AudioSource", "rank 5"),
        ("realtime.engine", "from rt_melody.realtime.session import run", "rank 10"),
        ("realtime.types", "from rt_melody.realtime import ring", "rank 3"),
        ("realtime.session", "from rt_melody.realtime import Engine", "may not import realtime (rank"),
        ("realtime.attic", "from rt_melody.realtime.types import PitchFrame", "no place"),
        ("realtime.engine", "from .types import PitchFrame", "relative"),
        ("realtime.engine", "from realtime.types import PitchFrame", "bare name"),
    ],
)
def test_the_checker_catches(module, line, word):
    known = (
        "realtime",
        "realtime.types",
        "realtime.ring",
        "realtime.session",
        "realtime.sources",
        "realtime.sources.base",
        "benchmarks",
        "models",
        "models.training",
    )
    found = breaches({**dict.fromkeys(known, ""), module: line})
    assert len(found) == 1 and word in found[0]


@pytest.mark.parametrize(
    "module, line",
    [
        ("realtime.cli", "from rt_melody.realtime import session, types, Engine"),
        ("realtime.sinks.midi", "from rt_melody.realtime.sinks.base import EventSink"),
        ("realtime.engine", "from rt_melody.kernels.viterbi import step\nimport torch, numpy"),
        ("models.training.train", "from rt_melody.models.network import Net"),
        ("benchmarks.accuracy", "from rt_melody.realtime import track"),
    ],
)
def test_the_checker_lets_pass(module, line):
    known = ("realtime", "realtime.types", "realtime.session", "realtime.sinks", "realtime.sinks.base", "kernels.viterbi", "models.network")
    assert breaches({**dict.fromkeys(known, ""), module: line}) == []


@pytest.mark.parametrize(
    "source", ["import torch\ntorch.jit.script(f)", "import torch.jit as j", "from torch import jit", "from torch.jit import script"]
)
def test_the_checker_sees_torch_jit(source):
    assert says_torch_jit(source) and not says_torch_jit("import torch\ntorch.nn.Module()  # torch.jit")
