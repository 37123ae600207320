"""The latency protocol against trackers whose latency is known."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mir_eval")
from rt_melody.benchmarks import onsets, signals
from rt_melody.benchmarks.onsets import NEVER, frame_delay_ms, note_delay_ms, octave, summary
from rt_melody.benchmarks.signals import SAMPLE_RATE
from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame, hz_to_midi, midi_to_hz

FINE_S = 1.0 / SAMPLE_RATE * 8  # hop of the oracles


def frame(time_s, available_s, f0_hz, voiced=True):
    return PitchFrame(0, time_s, available_s, f0_hz, voiced, 1.0, 1.0, -20.0)


def oracle(sound, delay_s=0.0, hop_s=FINE_S, change=None):
    """Frames that tell the truth ``delay_s`` late; ``change(time_s, f0_hz)`` spoils it."""
    frames = []
    for i in range(int(sound.duration_s / hop_s) - 1):
        time_s = i * hop_s
        f0 = float(sound.f0_hz[round(time_s * SAMPLE_RATE)])
        f0 = change(time_s, f0) if change else f0
        frames.append(frame(time_s, time_s + delay_s, f0 or 100.0, f0 > 0))
    return frames


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(5)
    return [signals.tone_step(rng, 50.0, 5.0), signals.sung_step(rng, 64.3, -7.0), signals.tone_step(rng, 60.0, -2.0)]


@pytest.mark.parametrize("delay_ms", (0.0, 20.0, 37.5))
def test_an_oracle_scores_its_own_delay(sounds, delay_ms):
    for sound in sounds:
        for note in sound.notes:
            measured = frame_delay_ms(oracle(sound, delay_ms / 1000), sound, note)
            assert delay_ms - 1e-6 <= measured <= delay_ms + 1000 * FINE_S + 1e-6


def test_a_hop_is_waited_for(sounds):
    """With hops of 10 ms the truth comes on average half a hop late: it is 0 to 10 ms."""
    delays = [frame_delay_ms(oracle(s, hop_s=0.01), s, n) for s in signals.step_sounds(1, seed=9) for n in s.notes]
    assert min(delays) >= 0.0 and max(delays) <= 10.0
    assert 3.0 < np.mean(delays) < 7.0


def test_what_is_never_right_is_never(sounds):
    spoils = {
        "an octave up": lambda t, f0: 2 * f0,
        "60 cents sharp": lambda t, f0: f0 * 2 ** (60 / 1200),
        "unvoiced": lambda t, f0: 0.0,
        "on the first pitch for ever": lambda t, f0: float(sounds[0].f0_hz.max()) * 3.0,
    }
    for name, spoil in spoils.items():
        for sound in sounds:
            assert [frame_delay_ms(oracle(sound, change=spoil), sound, n) for n in sound.notes] == [NEVER, NEVER], name
    unsure = [frame(f.time_s, f.available_s, f.f0_hz, False) for f in oracle(sounds[0])]
    assert frame_delay_ms(unsure, sounds[0], sounds[0].notes[0]) == NEVER
    assert frame_delay_ms(unsure, sounds[0], sounds[0].notes[0], guess=True) < 1.0
    near = oracle(sounds[0], change=lambda t, f0: f0 * 2 ** (45 / 1200))
    assert frame_delay_ms(near, sounds[0], sounds[0].notes[0]) < 1.0


def test_a_step_that_is_not_followed_is_never(sounds):
    sound = sounds[2]  # by two semitones
    stuck = oracle(sound, change=lambda t, f0: midi_to_hz(sound.notes[0].pitch) if f0 else 0.0)
    assert frame_delay_ms(stuck, sound, sound.notes[0]) < 1.0
    assert frame_delay_ms(stuck, sound, sound.notes[1]) == NEVER


@pytest.mark.parametrize("event", (0, 1))
def test_flicker_counts_from_when_it_stays(sounds, event):
    for sound in sounds:
        note = sound.notes[event]
        drops = [(note.on_s + 0.06, note.on_s + 0.08), (note.on_s + 0.15, note.on_s + 0.16)]
        frames = oracle(sound, change=lambda t, f0: 0.0 if any(a <= t < b for a, b in drops) else f0)
        assert frame_delay_ms(frames, sound, note) == pytest.approx(160.0, abs=1.0)


def test_a_drop_after_it_has_stayed_costs_nothing(sounds):
    note = sounds[0].notes[0]
    frames = oracle(sounds[0], change=lambda t, f0: 0.0 if note.on_s + 0.11 <= t < note.on_s + 0.2 else f0)
    assert frame_delay_ms(frames, sounds[0], note) < 1.0


def test_flicker_to_the_end_is_never(sounds):
    frames = oracle(sounds[0], change=lambda t, f0: f0 if int(t / 0.02) % 4 else 0.0)  # right for 60 ms at a time
    assert frame_delay_ms(frames, sounds[0], sounds[0].notes[0]) == NEVER


def test_too_late_to_stay_within_the_note_is_never(sounds):
    note = sounds[0].notes[0]
    late = note.off_s - 0.09
    frames = oracle(sounds[0], change=lambda t, f0: f0 if t >= late else 0.0)
    assert frame_delay_ms(frames, sounds[0], note) == NEVER


def test_what_was_said_before_it_was_sung_is_early(sounds):
    sound = sounds[0]
    first, second = sound.notes
    ahead = oracle(sound, change=lambda t, f0: midi_to_hz(second.pitch) if t > second.on_s - 0.05 else f0)
    assert np.isnan(frame_delay_ms(ahead, sound, second))
    assert frame_delay_ms(ahead, sound, first) < 1.0


def test_an_estimate_of_just_before_the_onset_may_tell_the_new_note(sounds):
    """A player hears what is said, not of which moment: frames that speak of 20 ms ago."""
    sound = sounds[0]
    note = sound.notes[1]
    frames = [frame(f.time_s - 0.02, f.available_s, f.f0_hz, f.voiced) for f in oracle(sound, 0.005)]
    assert frame_delay_ms(frames, sound, note) == pytest.approx(5.0, abs=1.0)


def played(sound, delay_s, pitch=0.0, length_s=None):
    """Note events that play a sound ``delay_s`` late and ``pitch`` semitones off."""
    events = []
    for note in sound.notes:
        number = round(note.pitch + pitch)
        events.append(NoteOn(note.on_s, note.on_s + delay_s, number, 64, note.pitch + pitch))
        off_s = note.on_s + length_s if length_s else note.off_s
        events.append(NoteOff(off_s, off_s + delay_s, number))
    return events


def test_note_on_delay_is_that_of_its_availability(sounds):
    for sound in sounds:
        for note in sound.notes:
            assert note_delay_ms(played(sound, 0.0), sound, note) == pytest.approx(0.0, abs=0.01)
            assert note_delay_ms(played(sound, 0.042), sound, note) == pytest.approx(42.0, abs=0.01)
            for wrong in (12.0, -12.0, 0.7):
                assert note_delay_ms(played(sound, 0.042, wrong), sound, note) == NEVER
            assert note_delay_ms([], sound, note) == NEVER


def test_a_note_that_does_not_stay_is_not_counted(sounds):
    sound = sounds[0]
    note = sound.notes[0]
    blips = [NoteOn(note.on_s, note.on_s + 0.01, 50, 64, 50.0), NoteOff(note.on_s + 0.05, note.on_s + 0.06, 50)]
    later = [NoteOn(note.on_s, note.on_s + 0.07, 50, 64, 50.0), NoteOff(note.off_s, note.off_s, 50)]
    assert note_delay_ms(blips, sound, note) == NEVER
    assert note_delay_ms(blips + later, sound, note) == pytest.approx(70.0, abs=0.01)


def test_a_note_that_sounded_before_is_early(sounds):
    sound = sounds[0]
    second = sound.notes[1]
    events = [NoteOn(0.1, 0.2, round(second.pitch), 64, second.pitch), NoteOff(second.off_s, second.off_s, round(second.pitch))]
    assert np.isnan(note_delay_ms(events, sound, second))


def test_summary_counts_never_as_later_than_all():
    by_hand = summary([10.0, 20.0, 30.0, 40.0, NEVER, onsets.EARLY])
    quantiles = {"median": 30.0, "p90": None, "p99": None, "p99.9": None}
    assert by_hand == {**quantiles, "median_95": None, "max": 40.0, "never": 0.2, "events": 6, "early": 1}
    assert summary([NEVER, NEVER, 5.0])["median"] is None
    assert summary([onsets.EARLY])["median"] is None
    assert json.loads(json.dumps(summary([NEVER]), allow_nan=False))["never"] == 1.0


def test_octaves():
    names = [octave(hz_to_midi(hz)) for hz in (80.0, 159.0, 161.0, 330.0, 641.0, 880.0)]
    assert names == ["80-160 Hz", "80-160 Hz", "160-320 Hz", "320-640 Hz", "640-880 Hz", "640-880 Hz"]


def test_measure_rows_and_table_of_an_oracle():
    sounds = signals.step_sounds(1)
    records = onsets.measure(lambda samples: (oracle(next(s for s in sounds if s.samples is samples), 0.02, 0.002), []), sounds)
    assert len(records) == 2 * 2 * 8
    rows = onsets.rows_of(records, 50.0, 50.0, "clean")
    assert all(20.0 <= r["median"] <= r["max"] <= 22.0 and r["never"] == 0 for r in rows if r["output"] in ("f0", "guess"))
    assert all(r["median"] is None and r["never"] == 1.0 for r in rows if r["output"] == "note-on")
    assert {name for r in rows for name in r["by_octave"]} <= {"80-160 Hz", "160-320 Hz", "320-640 Hz", "640-880 Hz"}
    cells = [cell.strip() for cell in onsets.table(rows).splitlines()[2].split("|")]
    assert cells[1:6] == ["50", "clean", "onset", "all", "16"]
    assert cells[16:21] == ["never (never-never)", "never", "never", "never", "100.0"]


# ---- the sounds


def test_sounds_are_what_they_say():
    for sound in signals.step_sounds(1):
        first, second = sound.notes
        assert min(midi_to_hz(n.pitch) for n in sound.notes) >= 79.9 and max(midi_to_hz(n.pitch) for n in sound.notes) <= 880.1
        on = round(first.on_s * SAMPLE_RATE)
        assert np.abs(sound.samples[:on]).max() < 1e-4 < 1e-3 < np.abs(sound.samples[on : on + 160]).max(), sound.name
        assert not sound.f0_hz[:on].any() and sound.f0_hz[on] > 0
        inside = sound.f0_hz[on : round(second.off_s * SAMPLE_RATE)]
        assert inside.min() > 0
        step = round(second.on_s * SAMPLE_RATE)
        jump = 12 * np.log2(sound.f0_hz[step + 1] / sound.f0_hz[step - 2])
        assert jump == pytest.approx(second.pitch - first.pitch, abs=0.1)


def test_tone_has_its_period():
    sound = signals.tone_step(np.random.default_rng(0), 57.0, 12.0)  # 220 Hz, then 440 Hz
    for note, hz in zip(sound.notes, (220.0, 440.0)):
        middle = sound.samples[round((note.on_s + 0.1) * SAMPLE_RATE) :][:4096]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(4096)))
        assert spectrum.argmax() * SAMPLE_RATE / 4096 == pytest.approx(hz, abs=4.0)


def test_band_lies_at_its_ratio():
    sound = signals.melody(3, 4.0)
    mixed = signals.over_band(sound, 5.0, seed=1)
    band = mixed.samples - sound.samples
    voiced = sound.samples[sound.f0_hz > 0]
    ratio_db = 10 * np.log10(np.mean(voiced**2.0) / np.mean(band**2.0))
    assert ratio_db == pytest.approx(5.0, abs=0.1)
    assert (signals.over_band(sound, 5.0, seed=1).samples == mixed.samples).all()


def test_truth_of_a_phrase_by_hand():
    notes = [
        SungNote(0.2, 0.4, 60.0, "a"), SungNote(0.6, 0.4, 62.0, "a"),  # tied
        SungNote(1.0, 0.4, 62.0, "o", "m"),  # bound by a murmur
        SungNote(1.5, 0.3, 64.0, "o", "t"),  # 65 ms of consonant, in the gap
        SungNote(1.8, 0.2, 65.0, "a", "'"),  # 30 ms, taken from the note before
        SungNote(2.5, 0.2, 65.0, "a", "n"),  # 60 ms of murmur after a rest
    ]
    truth = signals.true_notes(render_phrase(notes, SAMPLE_RATE, 0, Singer(), 3.0))
    assert [round(n.on_s, 3) for n in truth] == [0.2, 0.6, 1.0, 1.5, 1.8, 2.44]
    assert [round(n.off_s, 3) for n in truth] == [0.6, 1.0, 1.4, 1.77, 2.0, 2.7]
    assert [n.bound for n in truth] == [False, True, True, False, False, False]


def test_melodies_part_repeated_pitches():
    for seed in range(6):
        sound = signals.melody(seed)
        for a, b in zip(sound.notes, sound.notes[1:]):
            assert b.on_s >= a.off_s - 1e-9
            assert b.on_s - a.off_s > 0.02 or abs(a.pitch - b.pitch) > 0.5, f"{sound.name} at {b.on_s:.2f} s"


# ---- the command


@pytest.mark.slow
def test_command_writes_json_and_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    out, picture = tmp_path / "o.json", tmp_path / "o.png"
    words = ["--pitches", "1", "--latency-ms", "50", "--conditions", "clean", "--out", str(out), "--plot", str(picture)]
    done = subprocess.run([sys.executable, "-m", "rt_melody.benchmarks.onsets", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["command"].startswith("python -m rt_melody.benchmarks.onsets") and str(tmp_path) not in out.read_text()
    onset = next(r for r in result["rows"] if (r["event"], r["kind"], r["output"]) == ("onset", "all", "f0"))
    assert onset["events"] == 16 and onset["latency_ms"] <= 50.0
    assert done.stdout.count("\n| 50 | clean") == 6
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_bound_that_cannot_be_met_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "rt_melody.benchmarks.onsets", "--latency-ms", "1"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "cannot be met" in done.stderr and "Traceback" not in done.stderr


# ---- the interval of a median ----------------------------------------------------------------------


def test_ranks_of_a_medians_interval_are_those_of_the_sign_tests_tables():
    from_1 = {n: [rank + 1 for rank in onsets.median_ranks(n)] for n in (6, 8, 10, 20, 32, 50)}
    assert from_1 == {6: [1, 6], 8: [1, 8], 10: [2, 9], 20: [6, 15], 32: [10, 23], 50: [18, 33]}
    assert [onsets.median_ranks(n) for n in range(6)] == [None] * 6


@pytest.mark.parametrize("n", [6, 13, 32, 99])
def test_a_medians_interval_holds_it_as_often_as_it_says(n):
    low, high = onsets.median_ranks(n)
    values = np.sort(np.random.default_rng(n).exponential(size=(4000, n)), axis=1)
    held = np.mean((values[:, low] <= np.log(2.0)) & (np.log(2.0) <= values[:, high]))  # the median of this distribution
    narrower = np.mean((values[:, low + 1] <= np.log(2.0)) & (np.log(2.0) <= values[:, high - 1]))
    assert held > 0.94 and narrower < 0.96


def test_a_median_of_few_is_told_with_its_interval_and_their_number():
    few = onsets.summary([float(d) for d in range(31)] + [np.inf])
    assert few["median_95"] == [9.0, 22.0] and few["events"] == 32
    assert onsets.delay_marks(few, ("median", "p90")) == ["15 (9-22)", "28"]
    assert onsets.delay_marks({**few, "median_95": [9.0, None]}, ("median",)) == ["15 (9-never)"]
    assert "median_95" not in onsets.summary([1.0] * 100) and onsets.summary([1.0] * 5)["median_95"] is None
