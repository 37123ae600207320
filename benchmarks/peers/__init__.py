"""Side by side: rt-melody and the tools people use, on the same sounds, the same machine, in the same run.

``python -m rt_melody.benchmarks.peers --data FOLDER --out runs/peers`` (extras ``[bench,peers,plot]``; a tool that is
not installed is left out, with the reason in the results). Stopped, it goes on where it was when it is called again.

Protocol
--------
* Accuracy is mir_eval's, pooled over frames, of what a tool said of a sound: once of all that it said ("no limit")
  and once **at equal latency**: at a latency L the truth of time t is compared with what had been said by t + L. A
  tool that says it later is judged by its older words, as a listener would.
* Latency is that of ``benchmarks.onsets``: from an onset or a step of the pitch until the output is right and stays.
* An estimate exists from the end of the block of samples that brought it (base.py). Computing takes no time in these
  figures; whether a tool keeps up is told by its cost.
* Stability: f0 is read at the reference's times and rounded to semitones, of the estimate and of the truth alike.
  Changes a second count each change of note, and between note and rest. An octave leap is a run of times at which
  singing is told right but for one or more octaves; leaps are counted a minute of singing.
* Every tool has one setting for everything: a singer's range is not known beforehand.
"""
