"""The wheel holds the whole product and nothing else, and the product lives without audio and MIDI libraries."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("realtime", "kernels", "models", "benchmarks")
TOP_FILES = ("__main__.py", "pyproject.toml", "README.md", "LICENSE")
MIDI_PACKAGE = "python-rtmidi" if sys.version_info < (3, 13) else "--pre supriya-midi"
DATA = ("models/configs", "models/weights", "realtime/examples")
FOR_TRAINING = {f"models/weights/{name}-trainable.pt" for name in ("live", "light")}  # in the checkout alone

# Puts an importer in front of all others that knows nothing of PortAudio and RtMidi.
WITHOUT_DEVICES = """
import sys

class NoDevices:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sounddevice", "_sounddevice", "rtmidi", "supriya_midi"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoDevices())
"""

# What sounddevice does where the package is installed and the PortAudio library is not.
WITHOUT_PORTAUDIO = """
import sys

class NoPortAudio:
    def find_spec(self, name, path=None, target=None):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")

sys.meta_path.insert(0, NoPortAudio())
"""


def run_python(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter, away from the checkout."""
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=240)


def builds_wheels_itself() -> bool:
    """Whether the setuptools at hand can build a wheel without the `wheel` package (since 70.1)."""
    try:
        version = importlib.metadata.version("setuptools").split(".")
    except importlib.metadata.PackageNotFoundError:
        return False
    return (int(version[0]), int(version[1])) >= (70, 1)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel built from a clean copy, so that no left-over `build/` takes part and none is left behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in TOP_FILES:
        shutil.copy(CHECKOUT / name, copy)
    isolation = ["--no-build-isolation"] if builds_wheels_itself() else []
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", *isolation, "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def on_disk(pattern: str, folders: tuple[str, ...]) -> set[str]:
    files = {path for folder in folders for path in (CHECKOUT / folder).rglob(pattern) if path.is_file()}
    return {path.relative_to(CHECKOUT).as_posix() for path in files if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_the_wheel_holds_every_module(wheel):
    packed = {name.removeprefix("rt_melody/") for name in wheel.namelist() if name.endswith(".py")}
    assert packed == on_disk("*.py", ROOMS) | {"__main__.py"}


@pytest.mark.slow
@pytest.mark.parametrize("folder", DATA)
def test_the_wheel_holds_the_model_and_the_examples(wheel, folder):
    files = on_disk("*", (folder,))
    assert files, f"{folder} is empty"
    packed = {name.removeprefix("rt_melody/") for name in wheel.namelist()}
    assert files - FOR_TRAINING <= packed and not FOR_TRAINING & packed


@pytest.mark.slow
def test_the_wheel_says_that_it_is_typed(wheel):
    assert {f"rt_melody/{room}/py.typed" for room in ROOMS} <= set(wheel.namelist())


@pytest.mark.slow
def test_the_wheel_runs_by_the_name_of_the_package(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    # -I: neither PYTHONPATH nor this folder; the wheel comes before whatever is installed.
    first = f"import runpy, sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    code = first + "runpy.run_module('rt_melody', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "--input", "demo", "--csv", "demo.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo.csv").read_text().startswith("time_s,f0_hz,voiced,confidence,available_s\n")


@pytest.mark.slow
def test_python_m_is_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "rt_melody", "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, f"rt-melody {importlib.metadata.version('rt-melody')}\n")


@pytest.mark.slow
def test_the_wheel_installs_no_generic_name(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert "rt_melody" in tops and all(top == "rt_melody" or top.endswith(".dist-info") for top in tops)


@pytest.mark.slow
def test_the_wheel_brings_the_command_and_the_licence(wheel):
    texts = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "rt-melody = rt_melody.realtime.start:main" in texts["entry_points.txt"]
    assert "rt-melody contributors" in texts["LICENSE"]


LIVE_MODULES = sorted(
    "rt_melody." + p.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for p in on_disk("*.py", ("realtime", "kernels", "models"))
    if "training" not in p and not (p.endswith("panel/server.py") and find_spec("aiohttp") is None)  # which the extra [panel] brings
)


@pytest.mark.slow
def test_everything_imports_without_portaudio_and_rtmidi(tmp_path):
    code = WITHOUT_DEVICES + "import importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\nprint(len(sys.argv) - 1)"
    done = run_python(code, tmp_path, *(m for m in LIVE_MODULES if not m.endswith("__main__")))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5


RUN_COMMAND = "from rt_melody.realtime.cli import main\nsys.argv[0] = 'rt-melody'\nsys.exit(main())"


@pytest.mark.slow
def test_the_demo_runs_without_portaudio_and_rtmidi(tmp_path):
    done = run_python(WITHOUT_DEVICES + RUN_COMMAND, tmp_path, "--input", "demo", "--csv", "demo.csv", "--midi-file", "demo.mid")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo.csv").read_text().startswith("time_s,f0_hz,voiced,confidence,available_s\n")
    assert (tmp_path / "demo.mid").read_bytes().startswith(b"MThd")


@pytest.mark.parametrize(
    "lack, arguments, named",
    [
        (WITHOUT_DEVICES, ["--input", "mic", "--jsonl"], "pip install sounddevice"),
        (WITHOUT_DEVICES, ["--input", "demo", "--midi-out", "--no-midi-guardian"], f"pip install {MIDI_PACKAGE}"),
        pytest.param(
            WITHOUT_PORTAUDIO,
            ["--input", "mic"],
            "apt-get install libportaudio2",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="names Linux's packages"),
        ),
    ],
)
def test_a_missing_device_library_is_one_sentence_that_names_the_package(tmp_path, lack, arguments, named):
    done = run_python(lack + RUN_COMMAND, tmp_path, *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert named in done.stderr
