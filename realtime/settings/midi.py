"""How MIDI says the notes."""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from pydantic import BeforeValidator, ValidationInfo, field_validator

from rt_melody.realtime.playing.expression import BRIGHTNESS_HZ, LOUDNESS_DB, BrightnessCurve, Curve, brightness_curve, loudness_curve
from rt_melody.realtime.settings.base import NEXT_NOTE, NOW, SettingsModel, option
from rt_melody.realtime.settings.kinds import BendRange, Text, off_is_a_word
from rt_melody.realtime.settings.performance import MPE_BEND_RANGE, PLAIN_BEND_RANGE

DIN_BYTES_PER_S = 3125  # a cable of 31,250 baud
BYTES_PER_S = 1500
CurveName = Literal["soft", "linear", "hard"]


class MidiSettings(SettingsModel):
    """How MIDI says them. None is what suits the mode: with MPE pressure and CC 74, else neither."""

    synth: Optional[Text] = option(None, "the synthesiser that plays, for the bend range and loudness message that it understands; --synth list shows those that are known", metavar="NAME", live=NEXT_NOTE)
    channel: int = option(1, "MIDI channel; of no meaning in MPE", flag="channel_out", metavar="CHANNEL", ge=1, le=16, live=NEXT_NOTE)
    loudness: Annotated[Optional[Literal["off", "pressure", "cc2", "cc7", "cc11"]], BeforeValidator(off_is_a_word)] = option(None, "MIDI message that carries the level of the voice while a note sounds; default: off, in MPE pressure", live=NOW)
    loudness_curve: CurveName = option("linear", "how it follows the level", live=NOW)
    loudness_range: list[float] = option(list(LOUDNESS_DB), "levels in dBFS that give 0 and 127", metavar=("DBFS", "DBFS"), min_length=2, max_length=2, live=NOW)
    brightness: Annotated[Optional[Literal["off", "cc74"]], BeforeValidator(off_is_a_word)] = option(None, "MIDI message that carries the brightness of the voice; default: off, in MPE cc74", live=NOW)
    brightness_curve: CurveName = option("linear", "how it follows the octaves of brightness", live=NOW)
    brightness_range: list[float] = option(list(BRIGHTNESS_HZ), "brightness in Hz that gives 0 and 127", metavar=("HZ", "HZ"), min_length=2, max_length=2, live=NOW)
    bytes_per_s: int = option(BYTES_PER_S, "bytes a second that bends and controllers may take; a DIN cable carries 3125", flag="midi_rate", metavar="BYTES", ge=30, le=DIN_BYTES_PER_S, live=NOW)
    back_end: Optional[Text] = option(None, "the library that reaches the MIDI ports; default: the first that works here", flag="midi_back_end", metavar="NAME")
    # Those of the performance, which a stand-alone output may set by itself. Not on the command line.
    mpe: bool = option(False, "each note on a member channel of MPE's lower zone", flag="")
    bend_range_semitones: Optional[BendRange] = option(None, "pitch-bend range in semitones", flag="")

    @field_validator("loudness_range", "brightness_range")
    @classmethod
    def _curves(cls, value: list[float], info: ValidationInfo) -> list[float]:
        (loudness_curve if info.field_name == "loudness_range" else brightness_curve)("linear", (value[0], value[1]))
        return value

    @property
    def bend_range(self) -> float:
        """As set, or what suits the mode."""
        return self.bend_range_semitones or (MPE_BEND_RANGE if self.mpe else PLAIN_BEND_RANGE)

    @property
    def loudness_message(self) -> str:
        """As set, or what suits the mode."""
        return self.loudness or ("pressure" if self.mpe else "off")

    @property
    def brightness_message(self) -> str:
        """As set, or what suits the mode."""
        return self.brightness or ("cc74" if self.mpe else "off")

    @property
    def level_curve(self) -> Curve:
        """0..127 of a level in dBFS."""
        return loudness_curve(self.loudness_curve, (self.loudness_range[0], self.loudness_range[1]))

    @property
    def bright_curve(self) -> BrightnessCurve:
        """0..127 of a brightness in Hz."""
        return brightness_curve(self.brightness_curve, (self.brightness_range[0], self.brightness_range[1]))
