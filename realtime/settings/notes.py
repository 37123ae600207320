"""The thresholds of the note tracker."""

from __future__ import annotations

from typing import Any

from rt_melody.realtime.settings.base import SettingsModel, option


def threshold(default: float, description: str) -> Any:
    """A number above 0."""
    return option(default, description, gt=0)


class NoteSettings(SettingsModel):
    """Thresholds of the tracker. Times in ms are rounded up to whole hops.

    Defaults are chosen on the takes of SSVD for tuning, on synthetic singing, and on karaoke without its singer
    and with validation singers; see benchmarks/note_parts.py and experiments 14 to 31 of benchmarks/results.
    """

    on_ms: float = threshold(15.0, "voiced and agreeing for this long before a note starts")
    on_confidence: float = threshold(0.65, "with at least this confidence on average ...")
    first_confidence: float = threshold(0.92, "... or this, for the first note after `pause_ms` without one ...")
    pause_ms: float = threshold(1000.0, "pause_ms")
    first_ms: float = threshold(800.0, "... unless it has been voiced for so long ...")
    rise_db: float = threshold(8.0, "... or the level has risen by so much ...")
    rise_ms: float = threshold(80.0, "... over so long")
    trust_confidence: float = threshold(0.8, "... where what was sung since such a pause was less sure than this in the mean, ...")
    trust_ms: float = threshold(500.0, "(whose time constant this is, of singing alone)")
    untrusted_confidence: float = threshold(0.85, "... the next note from silence must be as sure as this, but for the same exceptions")
    agree_semitones: float = threshold(0.12, "spread within which frames agree when a note starts")
    scoop_ms: float = threshold(60.0, "voiced for so long, settling is enough")
    settle_semitones: float = threshold(0.15, "spread within which a pitch that left a note, or glides, has arrived")
    arrive_semitones: float = threshold(0.3, "distance from its pitch within which a new note has begun")
    back_voicing: float = threshold(0.4, "unvoiced frames before the first voiced one that guess its pitch belong to it if surer ...")
    back_ms: float = threshold(130.0, "... up to so long before")
    attack_db: float = threshold(4.0, "level below the loudest yet within which a new note has begun")
    hold_voicing: float = threshold(0.35, "voicing above which an unvoiced frame at the note's pitch still holds it ...")
    hold_db: float = threshold(6.0, "... while the level has not fallen by so much")
    bridge_ms: float = threshold(25.0, "unvoiced gaps up to this long do not end a note")
    min_note_ms: float = threshold(60.0, "a note is not replaced by another before this age")
    young_ms: float = threshold(150.0, "a note that is left before this age ...")
    scoop_semitones: float = threshold(1.4, "... for one nearer than this was on its way there: no new note")
    away_semitones: float = threshold(0.6, "distance from the centre of the held note that counts as away from it")
    centre_ms: float = threshold(400.0, "time constant with which the centre follows the voice, once it is no longer the mean")
    drift_semitones: float = threshold(1.9, "a centre this far from the note's number is another note")
    change_ms: float = threshold(80.0, "least time away after which a note is left")
    step_ms: float = threshold(40.0, "... or after so long, where the newest frames have ...")
    step_confidence: float = threshold(0.8, "... at least this confidence")
    change_confidence: float = threshold(0.5, "of the newest frames on average, without which a note is left for none")
    reach_semitones: float = threshold(1.3, "distance from the mean pitch that no vibrato explains")
    window_ms: float = threshold(320.0, "stretch of the mean pitch, more than a cycle of slow vibrato")
    flat_ms: float = threshold(100.0, "stretch over which a small step must be flat")
    flat_semitones: float = threshold(0.15, "spread within which it is flat")
    glide_ms: float = threshold(200.0, "a glide that has not settled by then is followed note by note")
    leap_semitones: float = threshold(10.5, "leaps from here on may be octave errors")
    leap_confidence: float = threshold(0.8, "of the frames that start a note so far from the last, without which ...")
    leap_ms: float = threshold(100.0, "... such a leap must last for so long to be believed")
    dip_db: float = threshold(8.0, "fall and rise of level times brightness that strike a held note again ...")
    dip_ms: float = threshold(120.0, "... within this time ...")
    fade_db: float = threshold(6.0, "... unless the level has fallen by so much")
    clear_of_room_db: float = threshold(7.0, "level over that of the room, from which on it is the voice's: it dates notes and strikes again; nearer to it ...")
    room_ms: float = threshold(1000.0, "(time constant with which the level of the room follows, while nobody sings)")
    doubt_confidence: float = threshold(0.75, "... a frame must have been less sure than this for a dip to strike again")
    rest_ms: float = threshold(100.0, "and not again, nor on a younger note, before this is over")
    bend_step_semitones: float = threshold(0.01, "smallest change of pitch worth an event")
    loudness_step_db: float = threshold(1.0, "smallest change of level worth an event")
