"""The note evaluation against note lists whose scores are known."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

pytest.importorskip("mir_eval")
from rt_melody.benchmarks import conditions, note_parts, signals
from rt_melody.benchmarks.frame_cache import engine_frames
from rt_melody.benchmarks.note_parts import PARTS, Clip, Heard
from rt_melody.benchmarks.note_scores import NoteScores, PlayedNote, played_notes
from rt_melody.benchmarks.signals import SAMPLE_RATE, TrueNote
from rt_melody.realtime.engine import DecoderSettings
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

TRUE = [TrueNote(0.5 + 0.6 * i, 0.9 + 0.6 * i, 60.0 + 2.2 * i) for i in range(6)]


def note(true, shift_s=0.0, pitch=0.0, late_s=0.03, length=1.0):
    on_s = true.on_s + shift_s
    off_s = on_s + length * (true.off_s - true.on_s)
    sung = true.pitch + pitch
    return PlayedNote(on_s, off_s, on_s + late_s, off_s + late_s, round(sung), sung, sung)


def scored(played, true=TRUE, bias=0.0):
    scores = NoteScores()
    scores.add(true, played, bias)
    return scores.figures()


def f(figures, *kinds):
    return tuple(figures[kind]["F"] for kind in kinds)


def test_perfect_notes():
    figures = scored([note(t) for t in TRUE])
    assert f(figures, "onset", "note", "note_offset", "live", "at_on", "number") == (1.0,) * 6
    assert figures["delay_ms"] == {"notes": 6, "p10": 30.0, "median": 30.0, "p90": 30.0, "max": 30.0}
    assert figures["octave_leaps_a_minute"] == 0 and not figures["lost_because"] and not figures["extra_because"]


@pytest.mark.parametrize("shift_s, expected", ((0.045, 1.0), (0.06, 0.0), (-0.06, 0.0)))
def test_shifted_in_time(shift_s, expected):
    figures = scored([note(t, shift_s) for t in TRUE])
    assert f(figures, "onset", "note") == (expected, expected)
    if expected == 0.0:
        assert figures["lost_because"] == {"late" if shift_s > 0 else "early": 6}


def test_an_octave_up():
    figures = scored([note(t, pitch=12.0) for t in TRUE])
    assert f(figures, "onset", "note", "live", "number") == (1.0, 0.0, 0.0, 0.0)
    assert figures["octave_leaps_a_minute"] == pytest.approx(6 / (6 * 0.4 / 60))
    assert figures["lost_because"] == {"wrong pitch": 6} and figures["delay_ms"] == {"notes": 0}


@pytest.mark.parametrize("cents, expected", ((45, 1.0), (55, 0.0), (-45, 1.0), (700, 0.0)))
def test_out_of_tune(cents, expected):
    figures = scored([note(t, pitch=cents / 100) for t in TRUE])
    assert f(figures, "onset", "note") == (1.0, expected) and figures["octave_leaps_a_minute"] == 0


def test_wrong_ends():
    figures = scored([note(t, length=0.5) for t in TRUE])
    assert f(figures, "onset", "note", "note_offset") == (1.0, 1.0, 0.0)


def test_late_notes_are_found_in_the_file_but_not_live():
    figures = scored([note(t, late_s=0.09) for t in TRUE])
    assert f(figures, "note", "live") == (1.0, 0.0) and figures["delay_ms"]["median"] == 90.0
    figures = scored([note(t, shift_s=0.1, late_s=0.02) for t in TRUE])
    assert f(figures, "note") == (0.0,) and figures["delay_ms"]["median"] == 120.0


def test_the_bias_of_a_take_is_removed():
    sharp = [note(t, pitch=0.6) for t in TRUE]
    assert f(scored(sharp), "note") == (0.0,)
    assert f(scored(sharp, bias=0.6), "note", "at_on", "number") == (1.0, 1.0, 1.0)


def test_number_ignores_bends():
    """The voice bends to the pitch; the note number alone is a semitone off on every other note."""
    played = [note(t) for t in TRUE]
    wrong = [
        PlayedNote(n.on_s, n.off_s, n.available_s, n.off_available_s, n.number + i % 2, n.pitch_on, n.pitch) for i, n in enumerate(played)
    ]
    assert f(scored(wrong), "note", "number") == (1.0, 0.5)


def test_half_of_the_notes_and_twice_the_notes():
    half = scored([note(t) for t in TRUE[::2]])["note"]
    assert (half["P"], half["R"]) == (1.0, 0.5) and half["F"] == pytest.approx(2 / 3, abs=1e-4)
    split = [n for t in TRUE for n in (note(t, length=0.5), note(t, shift_s=0.2, length=0.5))]
    figures = scored(split)
    assert (figures["note"]["P"], figures["note"]["R"]) == (0.5, 1.0)
    assert figures["extra_because"] == {"within a note": 6}


def test_where_notes_are_lost():
    merged = PlayedNote(TRUE[0].on_s, TRUE[1].off_s, 0.5, 2.0, 60, 60.0, 60.0)
    beyond = PlayedNote(9.0, 9.2, 9.0, 9.2, 60, 60.0, 60.0)
    figures = scored([merged, *(note(t) for t in TRUE[3:]), beyond])
    assert figures["lost_because"] == {"merged": 1, "silent": 1}
    assert figures["extra_because"] == {"outside the singing": 1}


def test_nothing_played_and_nothing_to_play():
    assert f(scored([]), "onset", "note") == (0.0, 0.0)
    figures = scored([note(TRUE[0])], true=[])
    assert figures["octave_leaps_a_minute"] is None and figures["note"]["P"] == 0.0


def test_items_are_pooled():
    scores = NoteScores()
    scores.add(TRUE, [note(t) for t in TRUE])
    scores.add(TRUE[:2], [])
    assert scores.figures()["note"]["R"] == 0.75


# ---- from events to notes


def test_pitch_is_the_median_over_time_of_what_is_played():
    events = [
        NoteOn(1.0, 1.04, 60, 90, 59.2),
        Loudness(1.0, 1.04, 60, -20.0),
        PitchBend(1.1, 1.14, 60, -0.1),  # 59.9 for 0.3 s
        PitchBend(1.4, 1.44, 60, 0.3),  # 60.3 for 0.1 s
        NoteOff(1.5, 1.58, 60),
        NoteOn(1.5, 1.58, 62, 90, 62.0),
        NoteOff(1.7, 1.75, 62),
    ]
    first, second = played_notes(events)
    assert (first.on_s, first.off_s, first.available_s, first.off_available_s) == (1.0, 1.5, 1.04, 1.58)
    assert (first.number, first.pitch_on, first.pitch) == (60, 59.2, pytest.approx(59.9))
    assert second.pitch == 62.0
    scoop = [NoteOn(1.0, 1.0, 60, 90, 60.4), PitchBend(1.3, 1.3, 60, 0.9), PitchBend(1.4, 1.4, 60, 0.2), NoteOff(1.75, 1.75, 60)]
    assert played_notes(scoop)[0].pitch == pytest.approx(60.4)  # 60.2 for 0.35 s, 60.4 for 0.3 s, 60.9 for 0.1 s


def test_bends_sent_after_the_note_had_left_do_not_count():
    """A note-off may stand before the last bends: nobody knew yet."""
    events = [NoteOn(1.0, 1.0, 60, 90, 60.0), *(PitchBend(1.1 + i / 100, 1.2, 60, 2.0) for i in range(40)), NoteOff(1.1, 1.6, 60)]
    assert played_notes(events)[0].pitch == 60.0
    events = [NoteOn(1.0, 1.0, 60, 90, 60.2), NoteOff(1.0, 1.0, 60)]
    assert played_notes(events)[0].pitch == 60.2


# ---- bias, labels, the parts of SSVD


def frames_of(true, sharp=0.0, rate_hz=100):
    frames = []
    for i in range(round(rate_hz * (true[-1].off_s + 0.5))):
        t = i / rate_hz
        pitch = next((n.pitch for n in true if n.on_s <= t < n.off_s), None)
        frames.append(PitchFrame(i, t, t, midi_to_hz((pitch or 90.0) + sharp), pitch is not None, 1.0, 1.0, -20.0))
    return frames


def test_bias_is_the_median_over_frames():
    frames = frames_of(TRUE, -0.23)
    assert note_parts.bias_semitones(frames, TRUE) == pytest.approx(-0.23, abs=1e-6)
    up = [
        PitchFrame(f.index, f.time_s, f.available_s, f.f0_hz * (2 if i % 3 == 0 else 1), f.voiced, 1, 1, -20.0)
        for i, f in enumerate(frames)
    ]
    assert note_parts.bias_semitones(up, TRUE) == pytest.approx(-0.23, abs=1e-6)
    assert note_parts.bias_semitones([], TRUE) == 0.0 and note_parts.bias_semitones(frames, []) == 0.0


def test_the_edges_of_a_note_say_nothing_of_its_bias():
    true = [TrueNote(1.0, 2.0, 60.0)]
    frames = [
        PitchFrame(i, i / 100, i / 100, midi_to_hz(60.1 if 120 <= i < 180 else 50.0), True, 1, 1, -20.0) for i in range(300)
    ]
    assert note_parts.bias_semitones(frames, true) == pytest.approx(0.1)


def test_parts_of_ssvd_are_fixed_by_the_name():
    names = [str(n) for n in range(1000, 1400)]
    tuning = {n for n in names if note_parts.for_tuning(n)}
    assert 160 < len(tuning) < 240
    assert note_parts.for_tuning("1011") and not note_parts.for_tuning("1072")  # sha256sum of the name: 3d.., f8..


@pytest.fixture
def folder(tmp_path):
    """A data folder in the published layout: one take of each part, sung by the program."""
    where = tmp_path / "ssvd" / "train"
    where.mkdir(parents=True)
    (tmp_path / "mir-1k").mkdir()
    for tuning in (True, False):
        name = next(str(n) for n in range(100, 200) if note_parts.for_tuning(str(n)) == tuning)
        sound = signals.melody(5 + tuning, 4.0)
        soundfile.write(where / f"{name}.wav", sound.samples, SAMPLE_RATE)
        (where / f"{name}.wav").rename(where / f"{name}.opus")  # libsndfile goes by the content
        lines = [f"{n.on_s:.4f}\t{n.off_s:.4f}\t{n.pitch + 0.2:.2f}\r\n" for n in sound.notes]
        (where / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def test_ssvd_with_an_oracle(folder):
    """A tracker that reads the truth behind the labels: all found, the 20 cents removed; the parts differ."""
    by_length = {}
    for seed in (5, 6):
        sound = signals.melody(seed, 4.0)
        events = [e for n in sound.notes for e in (
            NoteOn(n.on_s, n.on_s, round(n.pitch), 64, n.pitch), NoteOff(n.off_s, n.off_s, round(n.pitch)))]
        by_length[float(np.abs(sound.samples).sum().round(-1))] = (frames_of(sound.notes), events)

    def tracker(samples):
        key = min(by_length, key=lambda k: abs(k - float(np.abs(samples).sum())))
        return by_length[key]

    for name in ("ssvd-tuning", "ssvd-measuring"):
        figures = PARTS[name].score(list(note_parts.listen(PARTS[name], tracker, folder)))
        assert f(figures, "onset", "note", "note_offset") == (1.0, 1.0, 1.0)
        (take,) = figures["takes"].items()
        assert note_parts.for_tuning(take[0]) == (name == "ssvd-tuning")
        assert take[1]["bias_cents"] == pytest.approx(-20.0, abs=0.6)


@pytest.mark.parametrize("text", ("0.1 0.2", "0.1 0.2 sixty", "0.5 0.4 60", "-1 0.4 60"))
def test_bad_labels_are_told_by_file_and_line(tmp_path, text):
    path = tmp_path / "9.txt"
    path.write_text(f"0.1\t0.2\t60\n\n{text}\n")
    with pytest.raises(InputError, match="9.txt, line 3"):
        note_parts.read_notes(path)


def test_a_folder_without_takes_is_told(tmp_path):
    with pytest.raises(InputError, match="--parts"):
        note_parts.ssvd(tmp_path, True)


# ---- exercises


def test_extra_notes_on_a_held_note():
    sound = signals.held_vibrato(1, seconds=2.0)
    clip = Clip("held", sound.samples, sound.notes)
    once = [note(sound.notes[0])]
    flips = [note(sound.notes[0], length=0.3), note(sound.notes[0], 0.7, 1.0, length=0.3), note(sound.notes[0], 1.4, length=0.3)]
    assert note_parts.extra_notes([Heard(clip, once)])["extra_notes"] == 0
    figures = note_parts.extra_notes([Heard(clip, flips), Heard(clip, [])])
    assert (figures["extra_notes"], figures["missed_notes"], figures["extra_a_minute"], figures["flips_a_second"]) == (2, 1, 30.0, 0.5)


def test_vibrato_is_as_wide_as_said():
    sound = signals.held_vibrato(2, 70.0)
    on, off = (round(t * SAMPLE_RATE) for t in (sound.notes[0].on_s + 1.0, sound.notes[0].off_s - 0.2))
    pitch = 12 * np.log2(sound.f0_hz[on:off] / midi_to_hz(sound.notes[0].pitch))
    assert np.percentile(np.abs(pitch), 99) == pytest.approx(0.7, abs=0.15)


@pytest.mark.parametrize("onset, gap_s", (("", 0.1), ("m", 0.0), ("t", 0.0)))
def test_recall_of_repeated_notes(onset, gap_s):
    sound = signals.repeated(0, onset, gap_s, count=5)
    assert len(sound.notes) == 5
    clip = Clip("again", sound.samples, sound.notes)
    all_of_them = [note(n) for n in sound.notes]
    one = [PlayedNote(sound.notes[0].on_s, sound.notes[-1].off_s, 0.0, 9.0, 60, sound.notes[0].pitch, sound.notes[0].pitch)]
    every_other = all_of_them[::2]
    assert note_parts.repeat_recall([Heard(clip, all_of_them)]) == {"repeated": 4, "recall": 1.0, "extra_notes": 0}
    assert note_parts.repeat_recall([Heard(clip, one)])["recall"] == 0.0
    assert note_parts.repeat_recall([Heard(clip, every_other)])["recall"] == 0.5
    assert note_parts.repeat_recall([Heard(clip, [note(n, pitch=1.0) for n in sound.notes])])["recall"] == 0.0
    assert note_parts.repeat_recall([Heard(clip, [note(n, shift_s=0.08) for n in sound.notes])])["recall"] == 0.0


@pytest.mark.parametrize("onset", ["m", "n", "t"])
def test_quick_repeats_come_at_the_step_that_is_asked_for(onset):
    sound = signals.repeated(1, onset, 0.0, 6, 0.125)
    starts = [n.on_s for n in sound.notes]
    assert len(starts) == 6 and np.diff(starts[1:]) == pytest.approx(0.125)


def test_notes_a_minute_where_nobody_sings():
    events = [NoteOn(0.1, 0.1, 60, 64, 60.0), NoteOff(0.2, 0.2, 60)]
    heard = []

    def tracker(samples):
        heard.append(float(np.abs(samples).max()))
        return [], events

    figures = PARTS["music"].score(list(note_parts.listen(PARTS["music"], tracker, every=5)))
    assert figures == {"band": {"seconds": 30.0, "notes": 2, "notes_a_minute": 4.0}}
    assert heard == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    "name, group", (("n1", "voices"), ("n18", "noise"), ("n43", "tones"), ("n100", "tones"), ("n93", "voices"), ("rain", "noise"))
)
def test_noises_are_told_apart_by_what_sounds_in_them(name, group):
    assert conditions.noise_group(name) == group


def test_figures_by_group():
    long, short = (Clip("", np.zeros(n * SAMPLE_RATE), group=group) for n, group in ((60, "long"), (6, "short")))
    figures = note_parts.by_group(note_parts.idle_notes)([Heard(long, []), Heard(short, [note(TRUE[0])]), Heard(long, [note(TRUE[0])])])
    assert [(name, g["notes_a_minute"]) for name, g in figures.items()] == [("long", 0.5), ("short", 10.0)]


# ---- frames on disk


@dataclass
class CountedEngine:
    """Gives a frame for every 160 samples, whose f0 is the first of them; counts what it was asked for."""

    model: SimpleNamespace
    bound_ms: float = 50.0
    hop_s: float = 0.01
    sample_rate: int = SAMPLE_RATE
    settings: DecoderSettings = field(default_factory=DecoderSettings)
    asked: int = 0

    @property
    def decoder(self):
        return SimpleNamespace(settings=self.settings)

    @property
    def latency(self):
        return SimpleNamespace(bound_ms=self.bound_ms)

    def feed(self, samples):
        self.asked += 1
        return [PitchFrame(i, i / 100, i / 100 + 0.05, float(x), i % 2 == 0, 0.5, 0.25, -20.5, 321.5) for i, x in enumerate(samples[::160])]

    def flush(self):
        return []


def test_frames_come_from_the_folder_until_anything_they_depend_on_changes(tmp_path):
    weights, where = tmp_path / "w.pt", tmp_path / "cache"
    weights.write_bytes(b"one")
    samples = np.arange(1600, dtype=np.float32)
    fresh = CountedEngine(SimpleNamespace(path=weights))
    expected = fresh.feed(samples)

    def asked(samples=samples, **changed):
        engine = CountedEngine(SimpleNamespace(path=weights), **changed)
        frames = engine_frames(engine, where)(samples)
        assert frames == CountedEngine(engine.model).feed(samples)
        return engine.asked

    assert expected == engine_frames(fresh)(samples)
    assert asked() == 1 and asked() == 0
    assert asked(samples=samples + 1) == 1
    assert asked(bound_ms=20.0) == 1 and asked(hop_s=0.005) == 1
    assert asked(settings=DecoderSettings(voicing_threshold=0.5)) == 1
    assert asked() == 0 and asked(samples=np.zeros(0, np.float32)) == 1 and asked(samples=np.zeros(0, np.float32)) == 0
    weights.write_bytes(b"two")
    assert asked() == 1


# ---- the command


def run(*words):
    return subprocess.run([sys.executable, "-m", "rt_melody.benchmarks.notes", *words], capture_output=True, text=True)


@pytest.mark.slow
def test_command_measures_and_writes(folder, tmp_path):
    out = tmp_path / "n.json"
    done = run("--data", str(folder), "--parts", "ssvd-tuning", "repeats", "--every", "8", "--set", "on_ms=20", "--out", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [r["set"] for r in result["rows"]] == ["ssvd-tuning", "repeats"] and "on_ms=20" in result["about"]
    assert str(folder) not in out.read_text()
    assert 0.0 < result["rows"][0]["onset"]["F"] <= 1.0
    assert "| ssvd-tuning | 50 |" in done.stdout and "| repeats gap | 50 |" in done.stdout
    assert (tmp_path / "n.md").read_text() == done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words, says", (
    (["--set", "on_msec=20"], "on_msec is no setting; did you mean on_ms?"),
    (["--set", "on_ms=soon"], "on_ms soon cannot be used: it must be a number"),
    (["--set", "on_ms=-1"], "above 0"),
    (["--every", "0"], "--every is 0"),
    (["--latency-ms", "1"], "cannot be met"),
    (["--model", "no-such.pt"], "no-such.pt"),
    (["--out", "no-such-folder/n.json"], "no-such-folder"),
    (["--cache", __file__], "cannot be kept"),
))
def test_bad_options_are_told(words, says):
    done = run("--parts", "vibrato", *words)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
