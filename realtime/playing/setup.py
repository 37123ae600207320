"""Settings turned into what shapes the notes and what says them: the gate, the stage, the MIDI."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from rt_melody.realtime.config import Settings
from rt_melody.realtime.playing.expression import brightness_curve, loudness_curve, velocity_curve
from rt_melody.realtime.playing.gate import Gate, parse_gate
from rt_melody.realtime.playing.performance import (
    PerformanceSettings, parse_note_range, parse_pull, parse_scale_setting,
)
from rt_melody.realtime.playing.scale import CHROMATIC
from rt_melody.realtime.sinks.midi_voice import MidiSettings

OCTAVE = 12  # semitones


@dataclass(frozen=True, slots=True)
class Playing:
    """Everything between the tracker's frames and the outputs."""

    gate: Gate | None
    performance: PerformanceSettings
    midi: MidiSettings
    offset_s: float


def make_playing(s: Settings) -> Playing:
    """What the settings ask for. Raises ``SettingsError`` where one cannot be used."""
    midi = _midi(s)
    return Playing(parse_gate(s.gate), _performance(s, midi.bend_range_semitones), midi, s.offset_ms / 1000.0)


def _midi(s: Settings) -> MidiSettings:
    return MidiSettings(
        mpe=s.mode == "mpe",
        channel=s.channel_out,
        bend_range_semitones=s.bend_range,
        loudness=s.loudness,
        brightness=s.brightness,
        loudness_curve=loudness_curve(s.loudness_curve, s.loudness_range),
        brightness_curve=brightness_curve(s.brightness_curve, s.brightness_range),
        bytes_per_s=s.midi_rate,
    )


def _performance(s: Settings, bend_range_semitones: int) -> PerformanceSettings:
    scale, find_key = parse_scale_setting(s.scale)
    pull = parse_pull(s.snap)
    if pull is None:
        scale, find_key = None, False
    elif scale is None and not find_key and pull < inf:  # a pull in cents that names no scale means every semitone
        scale = CHROMATIC
    lowest, highest = parse_note_range(s.note_range)
    return PerformanceSettings(
        mode=s.mode,
        bend_range_semitones=bend_range_semitones,
        transpose_semitones=s.transpose + OCTAVE * s.octave,
        a4_hz=s.a4_hz,
        scale=scale,
        find_key=find_key,
        pull_semitones=pull or 0.0,
        lowest=lowest,
        highest=highest,
        velocity=velocity_curve(s.velocity_curve, s.velocity_range),
    )
