"""Singing in, melody out, while it sounds. The Python API; see README.md for the command line.

>>> from rt_melody.realtime import track
>>> melody = track(samples, sample_rate)          # arrays of time_s, f0_hz, voiced, confidence; notes

>>> from rt_melody.realtime import CsvSink, Engine, MicrophoneSource, run
>>> run(MicrophoneSource(), Engine, sinks=[CsvSink("sung.csv")])   # until Ctrl-C

Names are loaded when they are first used, so that importing this package needs neither torch nor a device.
"""

from importlib import import_module

_HOMES = {
    "track": "api",
    "Melody": "api",
    "Engine": "engine",
    "DecoderSettings": "engine",
    "NoteTracker": "notes",
    "NoteSettings": "notes",
    "Performer": "playing.performance",
    "PerformanceSettings": "playing.performance",
    "Gate": "playing.gate",
    "Session": "session",
    "SessionStats": "session",
    "run": "session",
    "AudioSource": "sources",
    "DemoSource": "sources",
    "DeviceLost": "sources",
    "FileSource": "sources",
    "MicrophoneSource": "sources",
    "PipeSource": "sources",
    "EventSink": "sinks.base",
    "CsvSink": "sinks.files",
    "JsonlSink": "sinks.files",
    "MidiFileSink": "sinks.midi_file",
    "MidiSink": "sinks.midi",
    "MidiSettings": "sinks.midi_voice",
    "OscSink": "sinks.osc",
    "open_midi_out": "sinks.midi_ports",
    "DeviceError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "RtMelodyError": "errors",
    "SettingsError": "errors",
    "PitchFrame": "types",
    "NoteOn": "types",
    "NoteOff": "types",
    "PitchBend": "types",
    "Loudness": "types",
    "Brightness": "types",
    "KeyHeard": "types",
    "LatencyBudget": "types",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
