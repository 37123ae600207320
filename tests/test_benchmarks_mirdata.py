"""Data sets by name, and our readers' conventions against mirdata's, on labels that were made up."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from rt_melody.benchmarks import mirdata_sets
from rt_melody.models.training.data import DataError
from rt_melody.models.training.datasets import read_ikala, read_medleydb
from rt_melody.realtime import track
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000


class Labels:
    """As mirdata's F0Data."""

    def __init__(self, times_s, f0_hz) -> None:
        self.told = times_s, np.abs(f0_hz), (np.asarray(f0_hz) > 0).astype(float)

    def to_mir_eval(self):
        return self.told


@pytest.fixture
def dataset(tmp_path):
    """One track with labels that our own tracker made, and one without."""
    path = str(tmp_path / "a.wav")
    soundfile.write(path, demo_phrase(RATE).samples[: 2 * RATE], RATE)
    tracks = {"a": SimpleNamespace(audio_path=path, f0=Labels(*track(path).to_mir_eval())), "b": SimpleNamespace(audio_path=path, f0=None)}
    return SimpleNamespace(name="made_up", track_ids=["b", "a"], track=tracks.__getitem__)


def test_a_tracker_agrees_with_itself(dataset):
    pytest.importorskip("mir_eval")
    ((name, sound, labels),) = mirdata_sets.labelled(dataset)
    scores = dict(zip(mirdata_sets.FIGURES, mirdata_sets.score(labels, track(sound))))
    assert name == "a" and scores["OA"] > 99.5 and scores["VFA"] < 0.5
    octave_up = Labels(labels.told[0], 2 * labels.told[1] * (labels.told[2] > 0))
    scores = dict(zip(mirdata_sets.FIGURES, mirdata_sets.score(octave_up, track(sound))))
    assert scores["RPA"] < 1 and scores["RCA"] > 99.5


def test_sets_that_cannot_be_scored(dataset, monkeypatch):
    dataset.track_ids = ["b"]
    with pytest.raises(DataError, match="made_up has no track with a sound and an f0"):
        list(mirdata_sets.labelled(dataset))

    class Unindexed:
        name = "made_up"

        @property
        def track_ids(self):
            raise FileNotFoundError

    with pytest.raises(DataError, match="no index of made_up yet"):
        list(mirdata_sets.labelled(Unindexed()))
    monkeypatch.setitem(sys.modules, "mirdata", SimpleNamespace(list_datasets=lambda: ["vocadito"]))
    with pytest.raises(DataError, match="mirdata has no data set vocaditto; did you mean vocadito"):
        mirdata_sets.open_set("vocaditto", None)
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(DataError, match=r"pip install 'rt-melody\[datasets\]'"):
        mirdata_sets.open_set("vocadito", None)


def test_what_is_not_on_this_disk_is_counted_and_left_out(dataset, tmp_path, monkeypatch, capsys):
    pytest.importorskip("mir_eval")
    good = dataset.track("a")
    (tmp_path / "broken.wav").write_text("no sound")
    tracks = {
        "gone": SimpleNamespace(audio_path=str(tmp_path / "gone.wav"), f0=good.f0),
        "broken": SimpleNamespace(audio_path=str(tmp_path / "broken.wav"), f0=good.f0),
        "note": SimpleNamespace(audio_path=good.audio_path, pitch="A4"),  # as TinySOL has it
        "corrected": SimpleNamespace(audio_path=good.audio_path, f0_corrected=good.f0, f0=Labels([0.0, 1.0], [100.0, 100.0])),
    }
    made = SimpleNamespace(name="made_up", track_ids=list(tracks), track=tracks.__getitem__)
    monkeypatch.setattr(mirdata_sets, "open_set", lambda name, home: made)
    mirdata_sets.main(["made_up"])
    told = capsys.readouterr()
    assert "broken.wav is not audio" in told.err and "2 of 4 tracks have no sound or no f0 here" in told.err
    name, accuracy = told.out.splitlines()[2].split("|")[1:3]
    assert name.strip() == "corrected" and float(accuracy) > 99.5 and told.out.count("\n") == 4


def test_ikala_is_read_as_mirdata_reads_it(tmp_path):
    ikala = pytest.importorskip("mirdata.datasets.ikala", reason="the reference for conventions", exc_type=ImportError)
    for folder in ("Wavfile", "PitchLabel"):
        (tmp_path / folder).mkdir()
    soundfile.write(tmp_path / "Wavfile/10161_chorus.wav", np.zeros((RATE, 2)), RATE)
    label = tmp_path / "PitchLabel/10161_chorus.pv"
    label.write_text("0\n57\n57.5\n0\n60.25\n")
    (ours,), theirs = read_ikala(tmp_path), ikala.load_f0(str(label))
    assert ours.times_s == pytest.approx(theirs.times) and ours.f0_hz == pytest.approx(theirs.frequencies * theirs.voicing)


def test_medleydb_is_read_as_mirdata_reads_it(tmp_path):
    medleydb = pytest.importorskip("mirdata.datasets.medleydb_melody", reason="the reference for conventions", exc_type=ImportError)
    soundfile.write(tmp_path / "A_B_MIX.wav", np.zeros(RATE), RATE)
    label = tmp_path / "A_B_MELODY2.csv"
    label.write_text("0.0,0.0\n0.0058,220.5\n0.0116,221.0\n0.0174,0.0\n")
    (ours,), theirs = read_medleydb(tmp_path), medleydb.load_melody(str(label))
    assert ours.times_s == pytest.approx(theirs.times) and ours.f0_hz == pytest.approx(theirs.frequencies)
