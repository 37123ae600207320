"""Which audio inputs and outputs there are, and the one that is meant.

Conventions
-----------
* An input is named by its number in the list or by a part of "name, host API", upper or lower case alike.
* PortAudio is reached through the ``sounddevice`` module, imported here and only when asked for. It takes
  stock of the devices once, at its import: a device plugged in later shows up in the next process.
* Closing a device that has died waits for ever, and JACK's server takes 5 s to let a client go that stood still for a while:
  a thread of its own waits for it, and who closes no longer than CLOSE_S. Nobody opens one meanwhile.
* ``backend`` is that module; tests hand in their own.
"""

from __future__ import annotations

import atexit
import re
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from rt_melody.realtime.errors import DeviceError, missing_package

# What to install where the library itself is missing, by `sys.platform`.
PORTAUDIO_PACKAGE = {
    "linux": "install it with `apt-get install libportaudio2` (Debian, Ubuntu), "
    "`dnf install portaudio` (Fedora) or `pacman -S portaudio` (Arch)",
    "darwin": "reinstall the wheel that contains it: `pip install --force-reinstall sounddevice`",
    "win32": "reinstall the wheel that contains it: `pip install --force-reinstall sounddevice`",
}

# Windows lists each device once per host API; this one is both quick and shared with other programs.
PREFERRED_HOST_API = "Windows WASAPI"
NO_INPUT = "no audio input was found; plug in a microphone"
NUMBER = re.compile(r"-?[0-9]{1,6}")
CLOSE_S = 0.3  # for so long a device that closes is waited for ...
REOPEN_S = 3.0  # ... and for so long by whoever opens one next in this process
MME_NAME_LENGTH = 31  # Windows MME cuts device names to this many characters


class NoInputError(DeviceError):
    """There is nothing to hear with."""


class NoOutputError(DeviceError):
    """There is nothing to be heard by."""


@dataclass(frozen=True, slots=True)
class AudioInput:
    """One input device as PortAudio lists it."""

    index: int
    name: str
    host_api: str
    channels: int
    default_rate_hz: int
    is_default: bool

    @property
    def full_name(self) -> str:
        return f"{self.name}, {self.host_api}"

    def line(self) -> str:
        """One line of the device list; the default is starred."""
        plural = "s" if self.channels != 1 else ""
        star = "*" if self.is_default else " "
        return f"{star} {self.index:3d}  {self.full_name} ({self.channels} channel{plural}, {self.default_rate_hz} Hz)"


def load_backend() -> Any:
    """The ``sounddevice`` module, with PortAudio running. Raises DeviceError with the way out."""
    try:
        import sounddevice  # pyright: ignore[reportMissingTypeStubs]  # it has none
    except ModuleNotFoundError as error:
        raise DeviceError(missing_package("an audio device", str(error.name))) from error
    except OSError as error:
        way_out = PORTAUDIO_PACKAGE.get(sys.platform, "install PortAudio with your package manager")
        raise DeviceError(f"the PortAudio library cannot be loaded ({error}); {way_out}") from error
    except Exception as error:  # the module that would name the type failed to import
        raise DeviceError(_start_failure(error)) from error
    return sounddevice


_closing: list[threading.Thread] = []  # devices that were not waited for
_abandoned: list[Any] = []


def abandon_stream(stream: Any, backend: Any) -> None:
    """Leave a stream as it is whose sound server has died: PortAudio aborts the process that closes it, or shuts down."""
    _abandoned.append(stream)  # what it calls back must live on
    if (handler := getattr(backend, "_exit_handler", None)) is not None:
        atexit.unregister(handler)


def close_stream(stream: Any, backend: Any, dead: bool = False) -> None:
    """Close a stream of the back end's, now or a while after we have returned."""
    closer = threading.Thread(target=stream.close, daemon=True)
    closer.start()
    closer.join(CLOSE_S)
    if closer.is_alive():
        _closing.append(closer)
    handler = getattr(backend, "_exit_handler", None)
    if handler is not None and (dead or closer.is_alive()):
        # PortAudio, asked to shut down after its JACK server has died, aborts the whole process: it is not asked.
        atexit.unregister(handler)


def await_closing() -> None:
    """Wait for devices that were left to close by themselves, but not for ever."""
    until_s = time.monotonic() + REOPEN_S
    while _closing:
        _closing.pop().join(max(0.0, until_s - time.monotonic()))


def _start_failure(error: Exception) -> str:
    hint = "check that the system's sound service runs"
    if sys.platform.startswith("linux"):
        hint = (
            "a broken ALSA configuration is the usual cause: move ~/.asoundrc away or mend it and /etc/asound.conf, "
            "and try again"
        )
    return f"PortAudio cannot start ({error}); {hint}"


def list_audio_inputs(backend: Any = None) -> list[AudioInput]:
    """Every device with at least one input channel, in PortAudio's order.

    Raises DeviceError where PortAudio is missing or cannot tell.
    """
    backend = backend or load_backend()
    try:
        devices, host_apis = backend.query_devices(), backend.query_hostapis()
    except backend.PortAudioError as error:
        raise DeviceError(f"the audio devices cannot be listed ({error}); check the system's sound service") from error
    default = _default_index(backend, host_apis)
    return [
        _record(index, device, host_apis, default)
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def _record(index: int, device: Any, host_apis: Any, default: int) -> AudioInput:
    return AudioInput(
        index=index,
        name=device["name"],
        host_api=host_apis[device["hostapi"]]["name"],
        channels=device["max_input_channels"],
        default_rate_hz=round(device["default_samplerate"]),
        is_default=index == default,
    )


def _default_index(backend: Any, host_apis: Any) -> int:
    """Number of the default input, -1 for none: the preferred host API's, else PortAudio's own."""
    for host_api in host_apis:
        if host_api["name"] == PREFERRED_HOST_API and host_api["default_input_device"] >= 0:
            return host_api["default_input_device"]
    return backend.default.device[0]


def list_audio_outputs(backend: Any = None) -> list[AudioInput]:
    """Every device with at least one output channel, told as inputs are; ``is_default`` by PortAudio's own choice."""
    backend = backend or load_backend()
    try:
        devices, host_apis = backend.query_devices(), backend.query_hostapis()
    except backend.PortAudioError as error:
        raise DeviceError(f"the audio devices cannot be listed ({error}); check the system's sound service") from error
    default = backend.default.device[1]
    return [
        _record(index, {**device, "max_input_channels": device["max_output_channels"]}, host_apis, default)
        for index, device in enumerate(devices)
        if device["max_output_channels"] > 0
    ]


def find_output(device: str | int | None, backend: Any = None, beside: AudioInput | None = None) -> AudioInput:
    """The output that ``device`` means: a number, a part of its name, None for the default: that of the sound system to
    which the input ``beside`` belongs, where it has one. Raises DeviceError as ``find_input``."""
    backend = backend or load_backend()
    outputs = list_audio_outputs(backend)
    if not outputs:
        raise NoOutputError("no audio output was found; plug one in")
    if device is not None:
        return _meant(device, outputs, "output")
    theirs = [host.get("default_output_device", -1) for host in backend.query_hostapis() if beside and host["name"] == beside.host_api]
    return next((one for one in outputs if one.index in theirs), None) or _default_of(outputs, "output")


def find_input(device: str | int | None, backend: Any = None) -> AudioInput:
    """The input that ``device`` means: a number, a part of its name, or None for the default.

    Raises DeviceError where none or more than one fits; the message lists what there is.
    """
    inputs = list_audio_inputs(backend)
    if not inputs:
        raise NoInputError(f"{NO_INPUT}, or use --input PATH or --input demo")
    if device is None:
        return _default_of(inputs, "input")
    return _meant(device, inputs, "input")


def _meant(device: str | int, among: list[AudioInput], what: str) -> AudioInput:
    text = str(device).strip()
    return _by_number(int(text), among, what) if NUMBER.fullmatch(text) else _by_name(text, among, what)


def _default_of(devices: list[AudioInput], what: str) -> AudioInput:
    for candidate in devices:
        if candidate.is_default:
            return candidate
    option = "--device" if what == "input" else "--listen-device"
    raise DeviceError(f"the system names no default audio {what}; choose one with {option}:\n{_lines(devices)}")


def _by_number(index: int, inputs: list[AudioInput], what: str) -> AudioInput:
    for candidate in inputs:
        if candidate.index == index:
            return candidate
    raise DeviceError(f"device {index} is not an audio {what}; choose one of:\n{_lines(inputs)}")


def _by_name(text: str, inputs: list[AudioInput], what: str) -> AudioInput:
    wanted = text.lower()
    matches = [one for one in inputs if wanted and wanted in one.full_name.lower()]
    exact = [one for one in matches if wanted in (one.name.lower(), one.full_name.lower())]
    matches = _one_of_each(exact or matches)
    if not matches:
        raise DeviceError(f"no audio {what} has {text!r} in its name; choose one of:\n{_lines(inputs)}")
    if len(matches) > 1:
        raise DeviceError(f"{text!r} fits {len(matches)} audio {what}s; give more of the name, or the number:\n{_lines(matches)}")
    return matches[0]


def _one_of_each(matches: list[AudioInput]) -> list[AudioInput]:
    """Where all matches are one device under several host APIs, its preferred entry alone."""
    preferred = [one for one in matches if one.host_api == PREFERRED_HOST_API]
    if len({one.name[:MME_NAME_LENGTH] for one in matches}) == 1 and len(preferred) == 1:
        return preferred
    return matches


def _lines(inputs: list[AudioInput]) -> str:
    return "\n".join(one.line() for one in inputs)


def describe_devices(backend: Any = None) -> str:
    """The audio inputs as text, or the reason why there are none to show; raises nothing."""
    try:
        inputs = list_audio_inputs(backend)
    except DeviceError as error:
        return f"Audio inputs: {error}"
    if not inputs:
        return "Audio inputs: none found"
    return f"Audio inputs (* is the default):\n{_lines(inputs)}"


def describe_outputs(backend: Any = None) -> str:
    """The audio outputs as text, or the reason why there are none to show; raises nothing."""
    try:
        outputs = list_audio_outputs(backend)
    except DeviceError as error:
        return f"Audio outputs: {error}"
    return f"Audio outputs (* is the default):\n{_lines(outputs)}" if outputs else "Audio outputs: none found"
