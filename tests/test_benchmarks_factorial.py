"""Rooms, microphones and scenes, and what they are found to cost, where it is known by construction."""

import json
import os
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

pytest.importorskip("mir_eval")
pytest.importorskip("scipy")
from rt_melody.benchmarks import factorial
from rt_melody.models.training.datasets import Recording

RATE = 16000
LEVELS = {"room": ["none", "small"], "microphone": ["flat", "dull", "cheap"], "scene": ["alone", "noise"]}


def sine(hz, seconds, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def recording(name, singer, hz=220.0, seconds=1.0, band=True):
    pitch = np.full(round(seconds * 100), 69.0 + 12.0 * np.log2(hz / 440.0))
    pitch[-30:] = 0.0
    voice = sine(hz, seconds)
    voice[-3 * RATE // 10 :] = 0.0
    accompaniment = np.random.default_rng(1).standard_normal(len(voice)).astype(np.float32) if band else None
    return Recording("x", name, singer, "l", voice, accompaniment, np.arange(len(pitch)) * 0.01, pitch)


# ---- sounds ------------------------------------------------------------------------------------


def test_a_room_leaves_the_direct_sound_where_it_was():
    """The response is 200 samples late, and its largest peak is a reflection 50 ms later."""
    response = np.zeros(4000, np.float32)
    response[[200, 1000, 1500]] = 0.4, 1.0, -0.3
    sound = np.zeros(3000, np.float32)
    sound[100] = 1.0
    cut = factorial.without_lead_in(response)
    there = factorial.in_room(sound, cut)
    assert len(there) == len(sound) and np.flatnonzero(np.abs(there) > 1e-6).tolist() == [100, 900, 1400]
    assert there[[100, 900, 1400]] == pytest.approx([0.4, 1.0, -0.3], abs=1e-6)
    assert factorial.in_room(sound, None) is sound


def test_a_room_is_described_by_its_decay():
    """Noise that falls by 60 dB in 0.8 s; and a direct sound of the energy of all that follows 5 ms later."""
    fall = 10.0 ** (-3.0 * np.arange(RATE) / (0.8 * RATE)) * np.random.default_rng(0).standard_normal(RATE)
    assert factorial.room_described("a", fall)["t60_s"] == pytest.approx(0.8, abs=0.05)
    both = np.zeros(2000)
    both[[0, 500]] = 1.0, 1.0
    assert factorial.room_described("b", both)["direct_db"] == pytest.approx(0.0, abs=1e-6)


def test_microphones_have_the_curves_they_say():
    telephone, dull, cheap = (factorial.MICROPHONES[name].curve_db for name in ("telephone", "dull", "cheap"))
    assert factorial.MICROPHONES["flat"].curve_db([50, 1000, 7000]) == pytest.approx([0, 0, 0])
    assert telephone([300, 1000, 3400]) == pytest.approx([-3, 0, -3], abs=0.1)
    assert telephone([150])[0] - telephone([75])[0] == pytest.approx(24, abs=2)
    assert dull([100, 1000]) == pytest.approx([0, -3], abs=0.1) and dull([1000])[0] - dull([4000])[0] > 9
    assert cheap([150, 3000]) == pytest.approx([-3, 8], abs=0.5) and cheap([7800])[0] < -20


@pytest.mark.parametrize("name", factorial.MICROPHONES)
def test_a_microphone_does_what_its_curve_says_in_time(name):
    """A tone comes out at the level of the curve, and a click not more than 3 ms late."""
    microphone = factorial.MICROPHONES[name]
    quiet = factorial.Microphone("", microphone.sections)
    for hz in (250.0, 1000.0, 3000.0):
        out = factorial.at_microphone(sine(hz, 0.5), quiet, 0)[2000:]
        wanted = 0.5 * 10.0 ** (quiet.curve_db([hz])[0] / 20.0)
        assert np.std(out) * np.sqrt(2.0) == pytest.approx(min(1.0, wanted), rel=0.02 if wanted < 1 else 0.2)
    click = np.zeros(800, np.float32)
    click[100] = 1.0
    assert 0 <= np.abs(factorial.at_microphone(click, quiet, 0)).argmax() - 100 <= 48


def test_a_noise_floor_is_at_its_level_and_the_clips_own():
    silent = np.zeros(RATE, np.float32)
    one, again, other = (factorial.at_microphone(silent, factorial.MICROPHONES["cheap"], seed) for seed in (1, 1, 2))
    assert 20 * np.log10(np.std(one)) == pytest.approx(-45.0, abs=0.1)
    assert (one == again).all() and abs(np.corrcoef(one, other)[0, 1]) < 0.05


@pytest.mark.parametrize("scene, ratio_db", (("noise", 20.0), ("instrumental", 0.0), ("own band", 0.0), ("backing voice", 8.0)))
def test_scenes_have_the_ratios_they_say(scene, ratio_db):
    """Of the voice where it is voiced to what is left without it: each is uncorrelated with the other."""
    sung = factorial.Sung(recording("a", "A"), recording("b", "B", 330.0))
    pieces = [np.random.default_rng(2).standard_normal(2 * RATE).astype(np.float32)]
    whole, voice = factorial.in_scene(sung, scene, pieces).astype(float), sung.recording.waveform.astype(float)
    gain = whole @ voice / (voice @ voice)
    rest, voiced = whole - gain * voice, slice(0, 7 * RATE // 10)
    beside = rest[voiced] if scene == "backing voice" else rest  # its ratio is of both where they are voiced
    assert 20 * np.log10(gain * np.std(voice[voiced]) / np.std(beside)) == pytest.approx(ratio_db, abs=0.5)


def test_alone_is_the_voice():
    sung = factorial.Sung(recording("a", "A"), recording("b", "B", 330.0))
    assert factorial.in_scene(sung, "alone", []) == pytest.approx(sung.recording.waveform / 0.6, abs=1e-4)


def test_the_backing_is_another_singers():
    several = [recording(str(i), singer) for i, singer in enumerate("AAABBA")]
    found = factorial.with_backing(several)
    assert all(sung.other.singer != sung.recording.singer for sung in found)
    assert len({sung.other.name for sung in found}) > 2
    assert [sung.other.name for sung in factorial.with_backing(several[:2])] == ["1", "0"]  # no other singer: another clip


# ---- effects -----------------------------------------------------------------------------------


def made_cells(n_clips=12):
    """Clips of unlike difficulty; of OA a small room costs 4, dull 1, cheap 2, noise 3, and both together nothing more."""
    cost = (np.array([0, 4.0])[:, None, None] + np.array([0, 1.0, 2.0])[:, None] + np.array([0, 3.0]))
    clip = np.linspace(60.0, 99.0, n_clips)
    values = np.repeat((clip[:, None, None, None] - cost)[..., None], 3, axis=-1)
    values[..., 2] = 5.0 + cost  # of VFA more is worse
    return values, np.column_stack([np.arange(1.0, n_clips + 1), np.full(n_clips, 2.0), np.r_[0.0, np.ones(n_clips - 1)]])


def test_effects_are_what_each_level_costs_over_all_others():
    values, weights = made_cells()
    rows = {(row["factor"], row["level"]): row for row in factorial.effects_of(values, weights, LEVELS)}
    costs = {("room", "small"): 4, ("microphone", "dull"): 1, ("microphone", "cheap"): 2, ("scene", "noise"): 3}
    for place, cost in costs.items():
        assert rows[place]["effect"]["OA"] == pytest.approx([-cost] * 3)  # the same on each clip: no width
        assert rows[place]["effect"]["VFA"] == pytest.approx([cost] * 3)
    clip = np.average(np.linspace(60.0, 99.0, 12), weights=np.arange(1.0, 13))
    assert rows["room", "none"]["OA"] == pytest.approx(clip - 1.0 - 1.5) and rows["room", "none"]["effect"] is None
    assert rows["all", "all"]["OA"] == pytest.approx(clip - 2.0 - 1.0 - 1.5)
    references = [("all", "all"), ("room", "none"), ("microphone", "flat"), ("scene", "alone")]
    assert [place for place, row in rows.items() if row["effect"] is None] == references


def test_figures_are_pooled_over_frames():
    """Clips count by their frames, as in all tables; one without unsung frames says nothing of false alarms."""
    values, weights = made_cells(2)
    cells = factorial.cells_of(values, weights, LEVELS)
    assert len(cells) == 12 and cells[0] == {"room": "none", "microphone": "flat", "scene": "alone", "OA": pytest.approx((60 + 2 * 99) / 3),
                                             "RPA": pytest.approx(79.5), "VFA": 5.0}
    assert cells[-1]["OA"] == pytest.approx((60 + 2 * 99) / 3 - 9) and [cells[-1][f] for f in LEVELS] == ["small", "cheap", "noise"]
    weights[:, 2] = 0.0
    unknown = factorial.effects_of(values, weights, LEVELS)
    assert unknown[0]["VFA"] is None and unknown[2]["effect"]["VFA"] == [None, None, None]
    assert unknown[2]["effect"]["OA"] == [pytest.approx(-4.0), None, None]  # of two clips no interval is told


def test_gains_compare_two_models_level_by_level():
    """The first is better by 1.5 everywhere, by 3.5 in a room; the same on every clip."""
    values, weights = made_cells()
    other = values - 1.5
    other[:, 1] -= 2.0
    rows = {(row["factor"], row["level"]): row["gain"]["OA"] for row in factorial.effects_of(values, weights, LEVELS, other)}
    assert rows["room", "none"] == pytest.approx([1.5] * 3) and rows["room", "small"] == pytest.approx([3.5] * 3)
    assert rows["scene", "noise"] == rows["all", "all"] == pytest.approx([2.5] * 3)
    assert factorial.cells_of(values, weights, LEVELS, other)[-1]["gain"]["RPA"] == pytest.approx([3.5] * 3)


def test_a_clip_is_scored_in_every_cell(monkeypatch):
    """By an engine that says the truth where the sound is loud, and is an octave off where there is noise in it."""
    monkeypatch.setattr(factorial, "RESPONSES", {"none": None, "small": np.array([1.0], np.float32)})

    def track(sound):
        noisy = np.std(sound[-3000:]) > 1e-3
        times = np.arange(len(sound) // 160) * 0.01
        return [SimpleNamespace(time_s=t, f0_hz=440.0 if noisy else 220.0, voiced=t < 0.699, confidence=1.0) for t in times], []

    monkeypatch.setattr(factorial, "TRACKERS", [track, track])
    values, weights = factorial.hear_clip((factorial.Sung(recording("a", "A"), recording("b", "B")), LEVELS))
    assert values.shape == (2, 2, 3, 2, 3) and weights.tolist() == [100.0, 70.0, 30.0]
    clean = values[:, :, :2, 0]
    assert clean == pytest.approx(np.broadcast_to([100.0, 100.0, 0.0], clean.shape))
    assert values[:, :, 2] == pytest.approx(np.broadcast_to([30.0, 0.0, 0.0], (2, 2, 2, 3)))  # cheap: its own noise floor
    assert values[:, :, :, 1] == pytest.approx(np.broadcast_to([30.0, 0.0, 0.0], (2, 2, 3, 3)))


# ---- the command -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A data folder of three short clips of two singers, one voice and one room."""
    test, valid, rooms = tmp_path / "mir-1k/test", tmp_path / "voices/valid/z", tmp_path / "rooms"
    for place in (test, valid, rooms):
        place.mkdir(parents=True)
    for name, hz in (("a_1", 220.0), ("a_2", 330.0), ("b_1", 262.0)):
        soundfile.write(test / f"{name}.wav", np.column_stack([sine(196.0, 1.0, 0.1), sine(hz, 1.0)]), RATE)
        (test / f"{name}.pv").write_text(f"{69 + 12 * np.log2(hz / 440):.3f}\n" * 49)
    soundfile.write(valid / "c.wav", sine(247.0, 1.0), RATE)
    (valid / "c.f0").write_text("59.0\n" * 90 + "-1\n" * 10)
    soundfile.write(rooms / "small_room.wav", np.r_[np.zeros(20), 1.0, np.zeros(200), 0.5], RATE)
    return tmp_path


def test_clips_are_every_nth_and_all_have_a_band(folder, capsys):
    found = factorial.clips_of(folder, 2)
    assert [r.name for r in found] == ["a_1", "b_1", "c"]
    assert all(r.accompaniment is not None and len(r.accompaniment) == len(r.waveform) for r in found)
    assert list(factorial.rooms_of(folder / "rooms")) == ["none", "small"] and "the large room is left out" in capsys.readouterr().out
    (folder / "voices").rename(folder / "elsewhere")
    assert [r.name for r in factorial.clips_of(folder, 3)] == ["a_1"] and "there are no voices" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_writes_what_it_measured(folder, tmp_path, monkeypatch, capsys):
    """The shipped model beside itself: the gain is 0 in every cell. General MIDI is left out, as where it cannot be had."""
    monkeypatch.setattr(factorial, "general_midi", lambda gm: [])
    out = tmp_path / "out"
    out.mkdir()
    factorial.main(["--data", str(folder), "--every", "2", "--beside", "live", "--out", str(out)])
    stored = json.loads((out / "factorial-beside.json").read_text(encoding="utf-8"))
    assert len(stored["rows"]) == 2 * 4 * 4 and {row["scene"] for row in stored["rows"]} == set(factorial.SCENES) - {"instrumental"}
    assert all(row["gain"][name][0] == 0.0 for row in (*stored["rows"], *stored["effects"]) for name in ("OA", "RPA"))
    alone = next(row for row in stored["rows"] if [row[f] for f in ("room", "microphone", "scene")] == ["none", "flat", "alone"])
    assert alone["RPA"] > 80.0
    text = (out / "factorial-beside.md").read_text(encoding="utf-8")
    assert "MIR-1K test, 2 clips, and voices/valid, 1, every 2" in text and "The worst 10 of 32 cells" in text
    assert text.strip() in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, told",
    (
        (["--every", "0"], "--every 0, --jobs 1: both are 1 or more"),
        (["--jobs", "-1"], "--every 1, --jobs -1: both are 1 or more"),
        (["--out", "nowhere"], "there is no folder nowhere; make it first"),
        (["--model", "nowhere.pt"], "there is no model file nowhere.pt; give one that is there, or leave it out"),
        (["--beside", "nowhere.pt"], "there is no model file nowhere.pt; give one that is there, or leave it out"),
        (["--beside", "damaged.pt"], "damaged.pt is not a model file of rt-melody"),
        (["--beside", ""], "there is no model file"),
        (["--latency-ms", "1"], "a latency bound of 1 ms cannot be met"),
        (["--data", "nowhere"], "holds no mir-1k/"),
    ),
)
def test_what_cannot_be_is_refused_in_a_sentence(words, told, in_folder, capsys):
    Path("damaged.pt").write_bytes(b"PK cut off")
    with pytest.raises(SystemExit) as left:
        factorial.main(words)
    said = capsys.readouterr().err.splitlines()[0]
    assert left.value.code == 2 and told in said and ("--model" in said) <= ("--model" in words)


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from rt_melody.benchmarks import plots

    values, weights = made_cells()
    for beside in (None, values - 1.0):
        plots.effects(factorial.effects_of(values, weights, LEVELS, beside), factorial.FIGURES, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_real_rooms_begin_at_once():
    """Those of the data folder: what is left of a response reaches a tenth of its peak in its first sample."""
    folder = Path(os.environ.get("RT_MELODY_DATA", "")) / "rooms"
    if not os.environ.get("RT_MELODY_DATA") or not folder.is_dir():
        pytest.skip("no recorded rooms: set RT_MELODY_DATA to the data folder")
    rooms = factorial.rooms_of(folder)
    assert list(rooms) == list(factorial.ROOMS)
    times = [factorial.room_described(name, response)["t60_s"] for name, response in rooms.items()]
    assert times[0] is None and times[1] < 0.5 < times[2]
    for response in list(rooms.values())[1:]:
        assert response is not None and abs(response[0]) >= 0.1 * np.abs(response).max()


def test_about_names_the_clips_that_dispute_the_octave():
    several = [recording("bug_5_01", "bug"), recording("c", "C")]
    assert "(of which bug_5_01 dispute the octave)" not in factorial.about(several[1:], Namespace(every=1, latency_ms=50.0))
    assert "(of which bug_5_01 dispute the octave)" in factorial.about(several, Namespace(every=1, latency_ms=50.0))
