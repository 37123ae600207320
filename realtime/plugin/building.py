"""From source to plugins that hosts load: what the compiler at hand makes of plugin.cpp and DPF.

Conventions
-----------
* A format is ``lv2``, ``vst3`` or ``clap``; what is built of each is one file or folder, its bundle.
* DPF (the DISTRHO Plugin Framework, ISC) is source code, as Debian's dpf-source has it; ``DPF_PATH`` names another copy.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.version import version

FORMATS = ("lv2", "vst3", "clap")
NAME = "rt-melody"
SOURCE = Path(__file__).parent
DPF_PLACES = ("/usr/share/dpf", "/usr/local/share/dpf")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-DNDEBUG", "-shared", "-pthread")
LINKED = ("-ldl",) if sys.platform.startswith("linux") else ()
COMPILE_S = 300.0
TTL_CODE = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).lv2_generate_ttl(sys.argv[2].encode())"


def bundle_name(kind: str) -> str:
    """The file or folder that a host looks for."""
    return f"{NAME}.{kind}"


def find_compiler() -> str:
    """A C++ compiler. Raises DeviceError where there is none."""
    named = os.environ.get("CXX")
    found = next((path for name in ([named] if named else COMPILERS) if (path := shutil.which(name))), None)
    if found is None:
        missing = f"the compiler {named} that CXX names" if named else "a C++ compiler"
        raise DeviceError(f"the plugin is built on your machine, and {missing} is not there; on Debian or Ubuntu: apt install g++")
    return found


def find_dpf() -> Path:
    """The folder of DPF's sources. Raises DeviceError where there is none."""
    named = os.environ.get("DPF_PATH")
    places = [named] if named else DPF_PLACES
    found = next((Path(place) for place in places if (Path(place) / "distrho" / "DistrhoPluginMain.cpp").exists()), None)
    if found is None:
        where = f"not in {named}, which DPF_PATH names" if named else "not there"
        raise DeviceError(
            f"the plugin is built on DPF, the DISTRHO Plugin Framework, which is {where}; on Debian or Ubuntu: apt install "
            "dpf-source, or set DPF_PATH to a copy of its sources"
        )
    return found


def find_engine() -> str:
    """The command that the plugin will start: this program's own. Raises DeviceError where it was not installed as one."""
    beside = Path(sys.executable).with_name(NAME)
    found = str(beside) if beside.exists() else shutil.which(NAME)
    if found is None:
        raise DeviceError(f"the command {NAME} is not beside {sys.executable}, so the plugin could not start it; install it there")
    return os.path.abspath(found)


def build(kind: str, folder: Path, engine: str | None = None, more_flags: tuple[str, ...] = ()) -> Path:
    """Build a format into ``folder``; its bundle. Raises DeviceError, with the compiler's words, where that fails."""
    compiler, dpf, engine = find_compiler(), find_dpf(), engine or find_engine()
    bundle = folder / bundle_name(kind)
    binary = _binary(kind, bundle)
    binary.parent.mkdir(parents=True, exist_ok=True)
    _compile([
        compiler, *FLAGS, *more_flags, f"-DDISTRHO_PLUGIN_TARGET_{kind.upper()}", f"-DRT_MELODY_ENGINE={_c_text(engine)}",
        f"-DRT_MELODY_VERSION={_c_text(version() or '0')}", f"-I{SOURCE}", "-isystem", str(dpf / "distrho"),
        str(SOURCE / "plugin.cpp"), str(dpf / "distrho" / "DistrhoPluginMain.cpp"), "-o", str(binary), *LINKED,
    ])  # fmt: skip
    if kind == "lv2":
        _describe_lv2(binary)
    return bundle


def _binary(kind: str, bundle: Path) -> Path:
    """Where in its bundle the code is."""
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    if kind == "clap":
        return bundle
    if kind == "lv2":
        return bundle / f"{NAME}{suffix}"
    if sys.platform == "darwin":
        return bundle / "Contents" / "MacOS" / NAME
    return bundle / "Contents" / f"{platform.machine()}-linux" / f"{NAME}.so"


def _c_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"the compiler {command[0]} did not build the plugin ({error}); set CXX to another") from error
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200].strip())
        raise DeviceError(f"the compiler {command[0]} does not take the plugin's source: {first}; set CXX to another")


def _describe_lv2(binary: Path) -> None:
    """The files that say to an LV2 host what is in the binary, written by itself, in a process of its own."""
    command = [sys.executable, "-c", TTL_CODE, str(binary), NAME]
    done = subprocess.run(command, cwd=binary.parent, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    described = binary.parent / f"{NAME}.ttl"
    if done.returncode or not described.exists():
        raise DeviceError(f"the built LV2 plugin cannot describe itself ({done.stderr.strip()[-200:]}); report this as a defect")
    text = described.read_text(encoding="utf-8")
    described.write_text(_with_freewheel(text), encoding="utf-8")


def _with_freewheel(text: str) -> str:
    """LV2 hosts set the port of this designation while they bounce; DPF 1.6 cannot say so."""
    mark = 'lv2:symbol "freewheel" ;'
    return text.replace(mark, f"{mark}\n        lv2:designation lv2:freeWheeling ;", 1)
