"""The plugin's parameters, each one number to a host, as settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rt_melody.realtime.plugin.memory import LAYOUT
from rt_melody.realtime.settings import Settings, make_settings
from rt_melody.realtime.types import PITCH_CLASSES

MODES = ("mono", "legato", "bend", "mpe")
SCALES = (
    "off", "auto", "chromatic", "major", "minor", "harmonic minor", "melodic minor", "dorian", "phrygian", "lydian", "mixolydian",
    "locrian", "major pentatonic", "minor pentatonic", "blues", "whole tone",
)  # fmt: skip  # in the order of plugin.cpp
WITHOUT_TONIC = ("off", "auto", "chromatic")
GATES = ("off", "auto", "level")
HARD_CENTS = 100  # a pull of so much is as hard as can be
COUNT = LAYOUT["PARAMETER_COUNT"]


def settings_of(values: Sequence[float]) -> Settings:
    """What the parameters ask for [length=COUNT]. Raises SettingsError for what no host of ours sends, such as NaN."""
    value = {name.removeprefix("PARAMETER_"): values[place] for name, place in LAYOUT.items() if _is_parameter(name)}
    lowest, highest = _whole(value["LOWEST"]), _whole(value["HIGHEST"])
    options: dict[str, Any] = {
        "mode": _word(MODES, value["MODE"]),
        "transpose": _whole(value["TRANSPOSE"]),
        "scale": _scale(value["SCALE"], value["TONIC"]),
        "snap": _snap(value["SNAP"]),
        "gate": _gate(value["GATE"], value["GATE_DB"]),
        "latency_ms": value["BOUND"],
        "light": value["LIGHT"] > 0.5,
        "note_range": [str(min(lowest, highest)), str(highest)],
    }
    if _whole(value["BEND_RANGE"]):
        options["bend_range"] = _whole(value["BEND_RANGE"])
    return make_settings(options)


def is_mute(values: Sequence[float]) -> bool:
    """Whether the range of notes holds none."""
    return values[LAYOUT["PARAMETER_LOWEST"]] > values[LAYOUT["PARAMETER_HIGHEST"]]


def wants_panel(values: Sequence[float]) -> bool:
    """Whether what is heard is to be shown in the browser."""
    return values[LAYOUT["PARAMETER_PANEL"]] > 0.5


def _is_parameter(name: str) -> bool:
    return name.startswith("PARAMETER_") and name != "PARAMETER_COUNT"


def _whole(value: float) -> int:
    return round(value) if abs(value) < 1e6 else 0  # NaN too


def _word(words: Sequence[str], value: float) -> str:
    return words[min(max(_whole(value), 0), len(words) - 1)]


def _scale(kind: float, tonic: float) -> str:
    name = _word(SCALES, kind)
    return name if name in WITHOUT_TONIC else f"{_word(PITCH_CLASSES, tonic)} {name}"


def _snap(cents: float) -> str:
    whole = _whole(cents)
    return "off" if whole <= 0 else "hard" if whole >= HARD_CENTS else str(whole)


def _gate(kind: float, level_db: float) -> str:
    name = _word(GATES, kind)
    return f"{level_db:g}" if name == "level" else name
