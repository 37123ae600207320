"""JACK-Client, the Python module that speaks to JACK, with the libjack of the server that runs (see realtime/libjack.py)."""

from __future__ import annotations

import ctypes.util
from types import ModuleType

from rt_melody.realtime.errors import DeviceError, missing_package
from rt_melody.realtime.libjack import library_path

NO_LIBRARY = (
    "--jack needs the JACK library, which cannot be loaded ({why}); install it with `apt-get install pipewire-jack` or "
    "`apt-get install libjack-jackd2-0` (Debian, Ubuntu), `dnf install pipewire-jack-audio-connection-kit` (Fedora), "
    "`pacman -S pipewire-jack` (Arch), `brew install jack` (macOS)"
)


def import_jack() -> ModuleType:
    """The module, which says nothing by itself. Raises DeviceError with the way out where a piece is missing."""
    module = _import_module(library_path())
    module.set_error_function(_leave_unsaid)  # what matters is said by the errors that are raised
    module.set_info_function(_leave_unsaid)
    return module


def _leave_unsaid(text: str) -> None:
    pass


def _import_module(path: str | None) -> ModuleType:
    """The module with the library at ``path``; it would look for one by name."""
    find = ctypes.util.find_library
    if path is not None:
        ctypes.util.find_library = lambda name: path if name == "jack" else find(name)
    try:
        import jack
    except ModuleNotFoundError as error:
        raise DeviceError(missing_package("--jack", "JACK-Client")) from error
    except OSError as error:
        raise DeviceError(NO_LIBRARY.format(why=str(error) or "not found")) from error
    finally:
        ctypes.util.find_library = find
    return jack
