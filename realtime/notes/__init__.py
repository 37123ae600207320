"""From pitch frames to notes: who starts, who is held, who ends. Causal, one note at a time.

Conventions
-----------
* Pitch is in fractional MIDI note numbers, differences in semitones.
* ``available_s`` never decreases from event to event. ``time_s`` is the musical moment: a note starts where
  the voice is at its pitch and nearly at its level, and ends where the voice left it, both known only some
  frames later. Note-ons and note-offs are in the order of their ``time_s``; a bend may have been sent before
  the note-off whose ``time_s`` is earlier, since nobody knew yet.
* A frame's level speaks of its ``available_s``, its pitch of ``time_s``: levels are known ahead of pitches.
* A voiced frame whose f0 is not finite, or lies outside MIDI's notes, counts as unvoiced.
* Names in `backquotes` are thresholds (realtime/settings/notes.py). The tracker is in one of two states (states.py), ``Silent`` or
  ``Sounding``; what both know is in context.py, what the newest frames told in history.py.

How a note starts
-----------------
From silence when frames are voiced for `on_ms`, agree in pitch and are sure; a scoop or a fall towards the note
does not agree, and is waited out for `scoop_ms`. After a pause they must be surer (`first_confidence`), last
(`first_ms`) or come with a rise of the level (`rise_db`), as a voice does: where nobody sings, an instrument is taken
for one now and then, but seldom surely, and within a sound that goes on. It seldom stays sure, either: where what was
sung since the pause was less sure than `sure_confidence` in the mean, the next note from silence is held to the same.
A leap of an octave from the note before must be sure or last `change_ms`.

The note is dated to its first frame within `arrive_semitones` of its pitch and `attack_db` of the loudest yet: later
than the first voiced frame where it begins with a glide or a murmur, earlier where unvoiced frames before it guessed
its pitch (`hold_voicing`). Where the voice is not `above_noise_db` above the noise floor, the level is the
background's and dates nothing.

How a held note ends
--------------------
By silence longer than `bridge_ms`. What holds a note need not be enough to start one: an unvoiced frame whose best
guess stays at the note's pitch holds it while voicing is above `hold_voicing` and the level has not fallen by `fade_db`.

By another pitch. A note has a centre: the mean of its pitch in its first `centre_ms`, then one that follows at that pace
while the voice is not away from it, so that a singer may drift without a new note and a narrow step does not draw it
along. The voice must be away from the centre, on one side, for `change_ms`, or for `step_ms` where frames are sure of
where it is now, and its pitch must have settled. It then has left the note for another when one of these holds, r
being the newest pitch, m and c means over `window_ms`, c drawn to the centre while the window is not full:

* r is further from m than a vibrato reaches (`reach_semitones`): a step. An octave or more must last `change_ms`, since
  trackers err by octaves; bends are withheld meanwhile.
* r was flat for `change_ms`: a small step. (A 4 Hz vibrato that crosses a note boundary is never so flat.)
* c itself is away from the centre after `change_ms`: the voice moved on for good.

Where the newest frames are less sure than `on_confidence` the note ends, and the other must start as from silence.

A slide that is too slow to be a step is followed likewise after twice `change_ms`, by its newest pitch, and where it
ends the number is right.

A note left before it was `young_ms` old, for a pitch nearer than `reach_semitones`, was on its way there: the note
stays and is bent. A centre that has drifted `drift_semitones` from the note's number, which is as far as most
synthesisers bend, takes the number that it has reached. A new note is dated as one from silence is.

How a repeated note is heard
----------------------------
By a gap, or by a dip while the pitch stays: `dip_db` down and up again within `rise_ms` each, not in the level but in
the level of the sound's first difference (level times brightness), where consonants that are sung (m, n, l) show
although they may be as loud as a vowel. A breath or a hiss at a note's end is bright too, hence `fade_db`. Where the voice is
not `above_noise_db` above the noise floor, a dip may be a drum's: there a frame must have been less than sure of the
pitch, too.
"""

from rt_melody.realtime.notes.tracker import NoteTracker
from rt_melody.realtime.settings.notes import NoteSettings

__all__ = ["NoteSettings", "NoteTracker"]
