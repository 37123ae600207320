"""Where it goes: ports, receivers, files, and what is said of it."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal, Optional

from pydantic import BeforeValidator

from rt_melody.realtime.settings.base import RESTART, SettingsModel, option
from rt_melody.realtime.settings.kinds import Device, FileName, Text, Texts, off_is_a_word

VIRTUAL = "virtual"  # the value of midi_out that asks for a port of our own


def _yes_is_virtual(value: Any) -> Any:
    return {True: VIRTUAL, False: None}[value] if isinstance(value, bool) else value


def _yes_is_at_the_end(value: Any) -> Any:
    return {True: 0.0, False: None}[value] if isinstance(value, bool) else value


class OutputSettings(SettingsModel):
    """What goes out."""

    midi_out: Annotated[Optional[Text], BeforeValidator(_yes_is_virtual)] = option(None, "play on the MIDI port of this name or part of it; without a name on a virtual port rt-melody", metavar="PORT", live=RESTART)
    midi_guardian: bool = option(sys.platform != "win32", "hold the MIDI port in a small process of its own, which ends the note should this program be killed; not on Windows")
    osc: Texts = option([], "send OSC to HOST:PORT, or to several of them", metavar="HOST:PORT")
    osc_timetag: Literal["sound", "now", "immediately"] = option("sound", "time tag of an OSC bundle: when its sound had been heard, when it is sent, or none, for receivers with another clock")
    osc_bundles: bool = option(True, "put each OSC message into a bundle with a time tag, not plain")
    listen: Annotated[Optional[Literal["off", "flute", "strings", "keys"]], BeforeValidator(off_is_a_word)] = option(None, "play the melody aloud with a small instrument of its own, a flute where none is named; the demo does so unless it is off", metavar="off|flute|strings|keys", live=RESTART)
    listen_device: Device = option(None, "the audio output for it: its number or part of its name; default: the system's", metavar="NAME|INDEX", live=RESTART)
    midi_file: Optional[FileName] = option(None, "write a standard MIDI file; with several inputs a folder, in which each gets its own", metavar="PATH", writes=".mid")
    tempo_bpm: float = option(120.0, "tempo of the MIDI file, beats a minute", ge=4, le=999)
    csv: Optional[FileName] = option(None, "write one row a hop; with several inputs a folder, in which each gets its own", metavar="PATH", writes=".csv")
    offset_ms: float = option(0.0, "add to the times in files, JSON lines and OSC time tags; what is sent live is sent at once all the same", ge=-5000, le=5000)
    jsonl: bool = option(False, "note events as JSON lines on stdout")
    jsonl_frames: bool = option(False, "the same, and a line for each hop: f0, voicing, level")

    @property
    def offset_s(self) -> float:
        """The same in seconds."""
        return self.offset_ms / 1000.0

    @property
    def writes_lines(self) -> bool:
        """Whether standard output carries JSON lines."""
        return self.jsonl or self.jsonl_frames


class ReportSettings(SettingsModel):
    """What is said of it."""

    stats: Annotated[Optional[float], BeforeValidator(_yes_is_at_the_end)] = option(None, "tell how the program keeps time: at the end, and every so many seconds if a number is given", metavar="SECONDS", ge=0)
    stats_file: Optional[FileName] = option(None, "write those figures as JSON lines, every second if --stats gives no number", metavar="PATH")
    quiet: bool = option(False, "no latency budget, no live line, no summary")
