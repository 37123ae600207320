"""All settings together, and the flat names by which the command line and older files know them.

Conventions
-----------
* A group is a field of ``Settings``; a setting is a field of a group. A new setting is one line in its group's file: the
  command line, the YAML file, ``--help`` and ``--print-config`` have it from there.
* The flat name of a setting is its own, or the ``flag`` that it states; one whose flag is empty has none, and stands in
  files alone. Flat names are unique.
* Rules between groups are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from rt_melody.realtime.settings.band import BandSettings
from rt_melody.realtime.settings.base import SettingsModel
from rt_melody.realtime.settings.control import ControlSettings
from rt_melody.realtime.settings.inputs import DecoderSettings, SourceSettings, TrackingSettings
from rt_melody.realtime.settings.midi import MidiSettings
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.settings.outputs import OutputSettings, ReportSettings
from rt_melody.realtime.settings.performance import PerformanceSettings
from rt_melody.realtime.settings.synths import preset

BEND_SPARE_SEMITONES = 0.1  # of the bend range, left by a note's centre to the voice's movement


class Settings(SettingsModel):
    """What ``rt-melody`` does, by groups."""

    source: SourceSettings = Field(default_factory=SourceSettings, description="what comes in")
    tracking: TrackingSettings = Field(default_factory=TrackingSettings, description="how it is heard")
    decoder: DecoderSettings = Field(default_factory=DecoderSettings, description="how pitch and voicing are decided")
    band: BandSettings = Field(default_factory=BandSettings, description="what is played to the singer")
    output: OutputSettings = Field(default_factory=OutputSettings, description="what goes out")
    report: ReportSettings = Field(default_factory=ReportSettings, description="what is said of it")
    performance: PerformanceSettings = Field(default_factory=PerformanceSettings, description="how the notes are played")
    midi: MidiSettings = Field(default_factory=MidiSettings, description="how MIDI says them")
    control: ControlSettings = Field(default_factory=ControlSettings, description="how it is steered while it plays")
    notes: NoteSettings = Field(default_factory=NoteSettings, description="what counts as a note")

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        """What the groups owe each other. A note that has drifted further than the synthesiser bends is another note,
        unless somebody says otherwise; a synthesiser that is named is told what it understands; MIDI's mode and bend range are
        those of the performance."""
        for name in ("performance", "midi", "notes"):  # as asked for, without what other settings once made of them
            object.__setattr__(self, name, getattr(self, name).changed())
        played, midi = self.performance, self.midi
        if midi.synth is not None:
            suits = preset(midi.synth, played.mode, played.bend_range, midi.loudness)
            self._derive(played, bend_range=suits.bend_range_semitones)
            self._derive(midi, loudness=suits.loudness, brightness=midi.brightness or suits.brightness)
        if played.bend_range is not None and "drift_semitones" not in self.notes.model_fields_set:
            reach = min(NoteSettings().drift_semitones, played.bend_range - BEND_SPARE_SEMITONES)
            self._derive(self.notes, drift_semitones=reach)
        self._derive(midi, mpe=played.mpe, bend_range_semitones=played.bend_range)
        return self

    @staticmethod
    def _derive(group: SettingsModel, **values: Any) -> None:
        """Set what follows from other groups, without a trace of having been asked for."""
        for name, value in values.items():
            object.__setattr__(group, name, value)

    @property
    def written_files(self) -> dict[str, tuple[str, str]]:
        """By the option that asks for it, the path and the ending of what is written for each input."""
        asked = ((f"--{name.replace('_', '-')}", self.flat(name), place.writes) for name, place in FLAT.items() if place.writes)
        return {option: (path, ending) for option, path, ending in asked if path}

    def flat(self, name: str) -> Any:
        """The value of a setting by its flat name."""
        place = FLAT[name]
        return getattr(getattr(self, place.group), place.name)


@dataclass(frozen=True)
class Place:
    """Where a flat name leads."""

    group: str
    name: str
    field: FieldInfo

    @property
    def metavar(self) -> str | tuple[str, ...] | None:
        """The stand-in for its value in ``--help``."""
        return _extra(self.field).get("metavar")

    @property
    def live(self) -> str | None:
        """How it takes effect when it is changed while a session runs (see ``base.option``); None where it cannot be."""
        return _extra(self.field).get("live")

    @property
    def writes(self) -> str | None:
        """How the files end that are written to the path that it names; None where it names none."""
        return _extra(self.field).get("writes")


def _extra(field: FieldInfo) -> dict[str, Any]:
    """What ``option`` notes beside a field."""
    return cast("dict[str, Any]", field.json_schema_extra or {})


def group_model(group: str) -> type[SettingsModel]:
    """The class of a group."""
    return Settings.model_fields[group].annotation  # type: ignore[return-value]  # each is a SettingsModel


def _flag(name: str, field: FieldInfo) -> str:
    given = _extra(field).get("flag")
    return name if given is None else str(given)


def _places() -> dict[str, Place]:
    """Every flat name; the thresholds of notes are reached by ``--notes`` alone."""
    return {
        flag: Place(group, name, field)
        for group in Settings.model_fields
        if group != "notes"
        for name, field in group_model(group).model_fields.items()
        if (flag := _flag(name, field))
    }


FLAT = _places()
