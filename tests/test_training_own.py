"""One's own recordings as a data folder: labels at their moments, singers apart, and sentences for what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from rt_melody.models.training import own
from rt_melody.models.training.data import load_mir1k
from rt_melody.models.training.datasets import DataError

RATE = 16000
pytestmark = pytest.mark.usefixtures("in_folder")


def take(name: str, rate: int = RATE, seconds: float = 1.0) -> None:
    """A tone of 220 Hz from .25 to .75 s, labelled so every 10 ms."""
    path = Path("rec", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(0, seconds, 0.01)
    soundfile.write(f"{path}.wav", np.sin(2 * np.pi * 220 * np.arange(int(rate * seconds)) / rate) * 0.3, rate)
    f0 = np.where((times >= 0.25) & (times < 0.75), 220.0, -180.0)
    Path(f"{path}.f0.txt").write_text("".join(f"{t:.3f}\t{hz:.2f}\n" for t, hz in zip(times, f0)))


def test_what_is_made_is_read_by_the_training(capsys):
    for i in range(4):
        take(f"singer{i}/a_b", rate=44100 if i == 3 else RATE)
    soundfile.write("rec/singer2/a_b.band.wav", np.full(RATE // 2, 0.25), RATE)
    own.main(["--recordings", "rec", "--out", "data"])
    assert "train 0.0 min" in capsys.readouterr().out
    train, valid, test = (load_mir1k(Path("data"), split) for split in ("train", "valid", "test"))
    assert [len(clips) for clips in (train, valid, test)] == [2, 1, 1]
    for clip in [*train, *valid, *test]:
        assert len(clip.voice) == pytest.approx(RATE, abs=1) and np.abs(clip.voice).max() == pytest.approx(0.3, abs=0.01)
        moments_s = np.arange(len(clip.pitch)) * 0.005
        clear = (np.abs(moments_s - 0.25) > 0.03) & (np.abs(moments_s - 0.75) > 0.03) & (moments_s > 0.03) & (moments_s < 0.97)
        sung = (moments_s > 0.25) & (moments_s < 0.75)
        assert clip.pitch[clear & sung] == pytest.approx(57.0) and (clip.pitch[clear & ~sung] <= 0).all()
    assert train[0].accompaniment[: RATE // 2] == pytest.approx(0.25, abs=1e-3) and (train[0].accompaniment[RATE // 2 :] == 0).all()


def test_singers_are_in_one_split_and_few_are_told(capsys):
    paths = [Path(f"s{i}/{j}.wav") for i in range(12) for j in range(3)]
    placed = own.splits(paths)
    assert all(len({placed[p] for p in paths if p.parent == singer}) == 1 for singer in {p.parent for p in paths})
    assert [list(placed.values()).count(split) for split in ("train", "valid", "test")] == [24, 6, 6]
    for i in range(3):
        take(f"one/{i}")
    own.main(["--recordings", "rec", "--out", "data"])
    assert "fewer than three folders of singers" in capsys.readouterr().out


def test_a_label_speaks_for_its_neighbourhood_alone():
    pitch = own.on_grid(np.array([0.10, 0.11, 0.50]), np.array([440.0, 440.0, 220.0]), 0.6)
    steps = (np.arange(len(pitch)) + 1) * 0.02
    assert set(np.round(steps[pitch > 0], 2)) == {0.08, 0.10, 0.12, 0.48, 0.50, 0.52}
    assert pitch[steps < 0.2].max() == pytest.approx(69.0) and pitch[-1] == 0


@pytest.mark.parametrize(
    "text, said",
    [
        ("0.0 220\n0.0 221\n", "times must ascend; line 2"),
        ("a b\n", "is no list of times"),
        ("0.0 57\n0.1 5\n", "5 in line 2 is no f0 in Hz"),
        ("0.0\n", "it has 1 columns"),
    ],
)
def test_labels_that_are_none(text, said):
    Path("x.f0.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        own.read_labels(Path("x.f0.txt"))


def test_folders_that_will_not_do(capsys):
    Path("rec").mkdir()
    for made, said in ((None, "holds no labels"), ("lonely", "has no recording beside it")):
        if made:
            Path(f"rec/{made}.f0.txt").write_text("0 220\n")
        with pytest.raises(SystemExit) as left:
            own.main(["--recordings", "rec", "--out", "data"])
        assert left.value.code == 2 and said in capsys.readouterr().err
    with pytest.raises(DataError, match="2 recordings are too few"):
        own.splits([Path("a.wav"), Path("b.wav")])
