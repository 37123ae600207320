"""The thresholds of the note tracker, in the order in which a note meets them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rt_melody.realtime.settings.base import SettingsModel, option

OFF_WORDS = ("off", "false", "none", "null")


def _or_off(value: Any) -> Any:
    """None for what switches a rule off: ``off`` or ``false``, in YAML and on the command line."""
    return None if str(value).strip().lower() in OFF_WORDS else value


Threshold = Annotated[float, Field(gt=0)]
Rule = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_or_off)]  # None: the rule is off


class NoteSettings(SettingsModel):
    """Thresholds of the note tracker. Times are rounded up to whole hops.

    A ``Rule`` is switched off by None, which is ``off`` in YAML and on the command line.
    Defaults are chosen on the takes of SSVD for tuning, on synthetic singing, and on karaoke without its singer and
    with validation singers; see benchmarks/note_parts.py and experiments 14 to 31 of benchmarks/results.
    """

    # ---- onset: what starts a note from silence
    on_ms: Threshold = option(15.0, "how long frames must be voiced and agree in pitch before a note starts")
    on_confidence: Threshold = option(0.65, "mean confidence that these frames must have")
    agree_semitones: Threshold = option(0.12, "spread of pitch within which frames agree")
    scoop_ms: Rule = option(60.0, "time after which a pitch still on its way need only have settled to start a note")
    settle_semitones: Threshold = option(0.15, "spread of pitch within which a pitch that was on its way has settled")
    arrive_semitones: Threshold = option(0.3, "distance from a new note's pitch within which the note has begun")
    attack_db: Rule = option(4.0, "drop below the loudest level so far within which a new note has begun")
    back_ms: Rule = option(130.0, "how far before its first voiced frame a note may be dated, over unvoiced frames at its pitch")
    back_voicing: Threshold = option(0.4, "voicing that such unvoiced frames must have")

    # ---- first note: what the first note after a pause needs besides, and a note that follows on doubtful ones
    pause_ms: Threshold = option(1000.0, "silence after which a note counts as the first one after a pause")
    first_confidence: Rule = option(0.92, "mean confidence that starts the first note after a pause")
    first_ms: Threshold = option(800.0, "time after which a first note starts without that confidence")
    rise_db: Rule = option(8.0, "rise of the level with which a first note starts without that confidence")
    rise_ms: Threshold = option(80.0, "time within which the level must rise so far")
    untrusted_confidence: Rule = option(0.85, "mean confidence that starts the next note where what was sung since the pause was doubtful")
    trust_confidence: Threshold = option(0.8, "mean confidence below which what was sung since the pause was doubtful")
    trust_ms: Threshold = option(500.0, "time constant of that mean, in time sung")

    # ---- hold: what keeps a note sounding
    hold_voicing: Rule = option(0.35, "voicing above which an unvoiced frame at the note's pitch holds the note")
    hold_db: Rule = option(6.0, "fall of the level after which such a frame holds nothing")
    bridge_ms: Rule = option(25.0, "longest unvoiced gap that does not end a note")

    # ---- change of pitch: what ends a note for another one
    away_semitones: Threshold = option(0.6, "distance from the centre of a note beyond which the voice is away from it")
    centre_ms: Threshold = option(400.0, "time over which the centre of a note is its mean pitch, then the time constant with which it follows")
    change_ms: Threshold = option(80.0, "how long the voice must be away from a note to leave it")
    step_ms: Rule = option(40.0, "how long it must be away where the newest frames are sure")
    step_confidence: Threshold = option(0.8, "confidence of each of these frames that counts as sure")
    change_confidence: Rule = option(0.5, "mean confidence of the newest frames below which a note that is left is followed by none")
    reach_semitones: Threshold = option(1.3, "distance from the mean pitch that no vibrato explains")
    window_ms: Threshold = option(320.0, "time over which that mean is taken; more than a cycle of slow vibrato")
    flat_ms: Threshold = option(100.0, "how long the pitch must be flat after a step that a vibrato might explain")
    flat_semitones: Threshold = option(0.15, "spread within which the pitch is flat")
    min_note_ms: Rule = option(60.0, "age before which a note is not left for another one")
    young_ms: Threshold = option(150.0, "age up to which a note may have been on its way to its pitch")
    scoop_semitones: Rule = option(1.4, "distance within which a note of that age is bent to its pitch rather than left")
    glide_ms: Rule = option(200.0, "time after which a glide that does not settle is followed note by note")
    drift_semitones: Threshold = option(1.9, "distance between a note's number and its centre at which another number takes over")

    # ---- octave: what a leap needs besides, since pitch trackers err by octaves
    leap_semitones: Threshold = option(10.5, "smallest leap that may be an octave error")
    leap_confidence: Rule = option(0.8, "mean confidence that starts a note so far from the one before")
    leap_ms: Threshold = option(100.0, "time after which such a leap is believed without that confidence")

    # ---- re-onset: what strikes a held note again at the same pitch
    dip_db: Rule = option(8.0, "fall and rise of level times brightness that strike a held note again")
    dip_ms: Threshold = option(120.0, "time within which the fall and the rise must lie")
    fade_db: Rule = option(6.0, "fall of the level across a dip beyond which the note has ended instead")
    rest_ms: Threshold = option(100.0, "age from which on a note can be struck again")
    above_noise_db: Rule = option(7.0, "level above the noise floor from which on dips and attacks are taken for the voice's")
    noise_ms: Threshold = option(1000.0, "time constant of the noise floor, in time without singing")
    doubt_confidence: Rule = option(0.75, "confidence below which one frame makes a dip count although the voice is not above the noise")

    # ---- resolution of the output
    bend_step_semitones: Threshold = option(0.01, "smallest change of pitch that is sent")
    loudness_step_db: Threshold = option(1.0, "smallest change of level that is sent")
