"""The thresholds of the note tracker, in the order in which a note meets them."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, model_validator

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings.base import SettingsModel, option

OFF_WORDS = ("off", "false", "none", "null")


def _or_off(value: Any) -> Any:
    """None for what switches a rule off: ``off`` or ``false``, in YAML and on the command line."""
    return None if str(value).strip().lower() in OFF_WORDS else value


# What has become of thresholds of version 0.1.0. Others did as well in their place.
RETIRED = {
    "min_note_ms": "it changed no note; leave it out", "change_confidence": "set on_confidence",
    **dict.fromkeys(("flat_ms", "leap_ms", "rest_ms"), "set change_ms, which it was equal to"),
    **dict.fromkeys(("step_confidence", "leap_confidence", "doubt_confidence", "trust_confidence"), "set sure_confidence"),
    "untrusted_confidence": "set first_confidence", "trust_ms": "set pause_ms",
    "back_voicing": "set hold_voicing", "hold_db": "set fade_db", "flat_semitones": "set settle_semitones", "scoop_semitones": "set reach_semitones",
    "glide_ms": "set change_ms, half of it", "dip_ms": "set rise_ms", "clear_of_room_db": "set above_noise_db", "room_ms": "set pause_ms",
}  # fmt: skip

Threshold = Annotated[float, Field(gt=0)]
Rule = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_or_off)]  # None: the rule is off


class NoteSettings(SettingsModel):
    """Thresholds of the note tracker. Times are rounded up to whole hops.

    A ``Rule`` is switched off by None, which is ``off`` in YAML and on the command line.
    Defaults are chosen on the takes of SSVD for tuning, on synthetic singing, and on karaoke without its singer and
    with validation singers; see benchmarks/note_parts.py and experiments 14 to 32 of benchmarks/results.
    """

    # ---- onset: what starts a note from silence
    on_ms: Threshold = option(15.0, "how long frames must be voiced and agree in pitch before a note starts")
    on_confidence: Threshold = option(0.65, "mean confidence that these frames must have, and those of another pitch for which a note is left")
    agree_semitones: Threshold = option(0.12, "spread of pitch within which frames agree")
    scoop_ms: Rule = option(60.0, "time after which a pitch that was on its way need only have settled to start a note")
    settle_semitones: Threshold = option(0.15, "spread of pitch within which a pitch that was on its way has settled")
    arrive_semitones: Threshold = option(0.3, "distance from a new note's pitch within which the note has begun")
    attack_db: Rule = option(4.0, "drop below the loudest level so far within which a new note has begun")
    back_ms: Rule = option(130.0, "how far a note may be dated back over unvoiced frames at its pitch")

    # ---- first note after a pause, or after doubtful ones: what it needs besides
    pause_ms: Threshold = option(1000.0, "silence after which a note is a first one; the time constant with which noise floor and mean confidence follow")
    first_confidence: Rule = option(0.92, "mean confidence required of a first note after a pause, and after notes less sure than sure_confidence in the mean")
    first_ms: Threshold = option(800.0, "time after which a first note starts without that confidence")
    rise_db: Rule = option(8.0, "rise of the level with which a first note starts without that confidence")
    rise_ms: Threshold = option(120.0, "time within which the level must rise, before a first note or out of a dip")

    # ---- hold: what keeps a note sounding
    hold_voicing: Rule = option(0.4, "voicing from which on an unvoiced frame at a note's pitch belongs to the note")
    fade_db: Rule = option(6.0, "fall of the level after which the note is taken to have ended")
    bridge_ms: Rule = option(25.0, "longest unvoiced gap that does not end a note")

    # ---- change of pitch: what ends a note for another one
    away_semitones: Threshold = option(0.6, "distance from the centre of a note beyond which the voice is away from it")
    centre_ms: Threshold = option(400.0, "time over which a note's centre is its mean pitch, then the time constant with which it follows")
    change_ms: Threshold = option(100.0, "how long a change must last to be believed: a step, an octave leap, the note before a repeated one")
    step_ms: Rule = option(40.0, "how long a step must last where the newest frames are sure")
    sure_confidence: Threshold = option(0.8, "confidence from which on a frame is sure")
    reach_semitones: Threshold = option(1.3, "distance from the mean pitch that no vibrato explains")
    window_ms: Threshold = option(320.0, "time over which that mean is taken; more than a cycle of slow vibrato")
    young_ms: Rule = option(150.0, "age up to which a note may have been on its way to a pitch nearby")
    drift_semitones: Threshold = option(1.9, "distance between a note's number and its centre at which another number takes over")

    # ---- octave: pitch trackers err by octaves
    leap_semitones: Rule = option(10.5, "smallest leap that may be an octave error, and must last or be sure")

    # ---- re-onset: what strikes a held note again at the same pitch
    dip_db: Rule = option(8.0, "fall and rise of level times brightness that strike a held note again")
    above_noise_db: Rule = option(7.0, "level above the noise floor from which on dips and attacks are the voice's")

    # ---- resolution of the output
    bend_step_semitones: Threshold = option(0.01, "smallest change of pitch that is sent")
    loudness_step_db: Threshold = option(1.0, "smallest change of level that is sent")

    @model_validator(mode="before")
    @classmethod
    def _retired(cls, values: Any) -> Any:
        """Say what has become of a threshold that older files may name."""
        for name in RETIRED:
            if isinstance(values, dict) and name in values:
                raise SettingsError.of((name,), None, RETIRED[name], unknown=True)
        return cast(Any, values)
