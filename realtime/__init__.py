"""Singing in, melody out, while it sounds. The Python API; see README.md for the command line.

>>> from rt_melody.realtime import track
>>> melody = track(samples, sample_rate)          # arrays of time_s, f0_hz, voiced, confidence; notes

>>> from rt_melody.realtime import CsvSink, MicrophoneSource, run
>>> run(MicrophoneSource(), [CsvSink("sung.csv")])   # until Ctrl-C

Names are loaded when they are first used, so that importing this package needs neither torch nor a device.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers see
    from rt_melody.realtime.api import Melody, track, track_bag
    from rt_melody.realtime.control.desk import Desk
    from rt_melody.realtime.engine import Engine
    from rt_melody.realtime.errors import DeviceError, InputError, OutputError, RtMelodyError, SettingsError
    from rt_melody.realtime.latency import LatencyBudget
    from rt_melody.realtime.melody import MelodyTracker
    from rt_melody.realtime.notes import NoteTracker
    from rt_melody.realtime.playing.gate import Gate
    from rt_melody.realtime.playing.performance import Performer
    from rt_melody.realtime.session import Session, SessionStats, run
    from rt_melody.realtime.settings import DecoderSettings, MidiSettings, NoteSettings, PerformanceSettings, Settings, make_settings
    from rt_melody.realtime.sinks.base import EventSink
    from rt_melody.realtime.sinks.csv_file import CsvSink
    from rt_melody.realtime.sinks.json_lines import JsonlSink
    from rt_melody.realtime.sinks.midi import MidiSink
    from rt_melody.realtime.sinks.midi_file import MidiFileSink
    from rt_melody.realtime.sinks.midi_ports import open_midi_out
    from rt_melody.realtime.sinks.osc import OscSink
    from rt_melody.realtime.sources import AudioSource, DemoSource, DeviceLost, FileSource, MicrophoneSource, PipeSource
    from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

_HOMES = {
    "Melody": "api",
    "track": "api",
    "track_bag": "api",
    "Desk": "control.desk",
    "Engine": "engine",
    "DeviceError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "RtMelodyError": "errors",
    "SettingsError": "errors",
    "LatencyBudget": "latency",
    "MelodyTracker": "melody",
    "NoteTracker": "notes",
    "Gate": "playing.gate",
    "Performer": "playing.performance",
    "Session": "session",
    "SessionStats": "session",
    "run": "session",
    "DecoderSettings": "settings",
    "MidiSettings": "settings",
    "NoteSettings": "settings",
    "PerformanceSettings": "settings",
    "Settings": "settings",
    "make_settings": "settings",
    "EventSink": "sinks.base",
    "CsvSink": "sinks.csv_file",
    "JsonlSink": "sinks.json_lines",
    "MidiSink": "sinks.midi",
    "MidiFileSink": "sinks.midi_file",
    "open_midi_out": "sinks.midi_ports",
    "OscSink": "sinks.osc",
    "AudioSource": "sources",
    "DemoSource": "sources",
    "DeviceLost": "sources",
    "FileSource": "sources",
    "MicrophoneSource": "sources",
    "PipeSource": "sources",
    "Brightness": "types",
    "KeyHeard": "types",
    "Loudness": "types",
    "NoteOff": "types",
    "NoteOn": "types",
    "PitchBend": "types",
    "PitchFrame": "types",
}
__all__ = [
    "AudioSource", "Brightness", "CsvSink", "DecoderSettings", "DemoSource", "Desk", "DeviceError", "DeviceLost", "Engine",
    "EventSink", "FileSource", "Gate", "InputError", "JsonlSink", "KeyHeard", "LatencyBudget", "Loudness", "Melody",
    "MelodyTracker", "MicrophoneSource", "MidiFileSink", "MidiSettings", "MidiSink", "NoteOff", "NoteOn",
    "NoteSettings", "NoteTracker", "OscSink", "OutputError", "PerformanceSettings", "Performer", "PipeSource",
    "PitchBend", "PitchFrame", "RtMelodyError", "Session", "SessionStats", "Settings", "SettingsError", "make_settings",
    "open_midi_out", "run", "track", "track_bag",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker that saw it would believe every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
