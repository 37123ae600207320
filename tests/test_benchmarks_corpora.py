"""Figures by corpus, with engines whose answers are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from rt_melody.benchmarks import corpora
from rt_melody.models.training.datasets import UNKNOWN, Recording

RATE = 16000


def sine(hz, seconds, level):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def voice(corpus, pitch, hz=220.0, level=0.3):
    pitch = np.asarray(pitch, float)
    return Recording(corpus, "a", "", "l", sine(hz, len(pitch) * 0.01, level), None, np.arange(len(pitch)) * 0.01, pitch)


class Says:
    """Says one pitch of every 10 ms, voiced before ``until_s``, and remembers what it heard."""

    def __init__(self, f0_hz, until_s=np.inf):
        self.f0_hz, self.until_s, self.heard = f0_hz, until_s, []

    def feed(self, sound):
        self.heard.append(sound)
        times = np.arange(len(sound) // 160) * 0.01
        return [SimpleNamespace(time_s=t, f0_hz=self.f0_hz, voiced=t < self.until_s - 1e-9, confidence=1.0) for t in times]

    def __call__(self, sound):
        return self.feed(sound), []


def test_what_is_unknown_is_not_scored():
    """Right for 40 frames, 30 more a third off that are unknown, 30 unvoiced: all is right of what is known."""
    one = voice("x", [57.0] * 40 + [UNKNOWN] * 30 + [0.0] * 30)
    frames = corpora.scored(one, Says(220.0, 0.7), one.waveform)
    assert len(frames.right()) == 70 and frames.right().all()
    half = corpora.scored(one, Says(220.0, 0.2), one.waveform)
    assert corpora.on_the_lead(half) == pytest.approx(50.0)
    assert corpora.on_the_lead(corpora.scored(one, Says(277.2), one.waveform)) == 0.0


def test_the_other_voice_is_8_db_below_and_of_another_corpus():
    several = [voice("x", [57.0] * 100), voice("x", [57.0] * 100), voice("y", [76.0] * 40, 660.0, 0.01)]
    assert [corpora.another(several, i).dataset for i in range(3)] == ["y", "y", "x"]
    both = corpora.backed(several[0], several[2])
    rest = both - several[0].waveform
    assert 20 * np.log10(np.std(several[0].waveform) / np.std(rest)) == pytest.approx(8.0, abs=0.1)
    assert np.abs(np.fft.rfft(rest)).argmax() == 660  # all along, though it is shorter


def test_labels_that_begin_later_keep_their_places():
    """MIR-1K's first label is at 20 ms: mir_eval has a frame at 0 s besides, like it."""
    pitch = np.array([57.0] * 40 + [UNKNOWN] * 10)
    late = Recording("x", "a", "", "l", sine(220.0, 1.0, 0.3), None, (np.arange(50) + 1) * 0.02, pitch)
    frames = corpora.scored(late, Says(220.0), late.waveform)
    assert frames.ref_voicing.tolist() == [1.0] * 41 and frames.right().all()


def named(name, pitch, hz=220.0):
    return replace(voice("gtsinger", pitch, hz), name=name)


def test_techniques_are_told_by_names_and_by_what_training_hears():
    names = {"ru03-falsetto": "falsetto", "en-alto-2-mf-mixed-voice": "mixed", "alto-2-breathy-control": "control", "tc-gt-006": None}
    assert {name: corpora.technique_of(named(name, [57.0])) for name in names} == names
    groups = {"no": [named("ru-breathy", [57.0] * 50), named("tc-gt", [76.0] * 50)],
              "yes": [named("a-breathy", [57.0] * 50), named("b-breathy", [57.0] * 25 + [76.0] * 25), named("c-vibrato", [76.0] * 50)]}
    low = [named("davidson", [57.0] * 60 + [40.0] * 30 + [0.0] * 10)]
    table = corpora.techniques_table(groups, low, Says(220.0))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        ["breathy", "no", "1", "50"], ["breathy", "yes", "2", "100"], ["vibrato", "yes", "1", "50"],
        ["low", "no", "1", "100"], ["bass, below 110 Hz", "no", "1", "30"]]
    assert [row[5] for row in rows] == ["100.0", "75.0", "0.0", "66.7", "0.0"]  # RPA
    assert rows[-1][4] == rows[-1][7] == "" and rows[3][7] == "100.0"


def test_low_voices_are_those_below_d3(tmp_path):
    for name, pitch in (("low_1", 48.0), ("high_1", 60.0)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros((RATE, 2)), RATE)
        (tmp_path / f"{name}.pv").write_text(f"{pitch}\n" * 49)
    assert [r.name for r in corpora.low_voices(tmp_path)] == ["low_1"]
    assert not list(corpora.low_voices(tmp_path / "nowhere"))


def test_tables_pool_clips_and_count_music(tmp_path):
    table = corpora.voices_table([voice("x", [57.0] * 50), voice("y", [57.0] * 25 + [0.0] * 25)], Says(220.0))
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in table.splitlines()[2:]}
    assert list(rows) == ["x", "y", "all"]
    assert float(rows["all"][1]) == 75.0 and float(rows["y"][4]) == 100.0 and float(rows["x"][5]) == 100.0

    soundfile.write(tmp_path / "song.wav", sine(440, 31.0, 0.3), RATE)
    line = corpora.music_table([tmp_path], Says(440.0, 3.75)).splitlines()[-1]
    assert [float(c) for c in line.split("|")[2:-1]] == pytest.approx([2, 30, 25.0, 25.0, 25.0], abs=0.1)


def test_a_folder_without_music_is_refused_before_anything_is_heard(tmp_path, capsys):
    (tmp_path / "mir-1k").mkdir()
    with pytest.raises(SystemExit) as left:
        corpora.main(["--data", str(tmp_path), "--music", str(tmp_path)])
    told = capsys.readouterr()
    assert left.value.code == 2 and "holds no recordings" in told.err and not told.out


def test_what_is_not_there_is_told(tmp_path, capsys):
    (tmp_path / "mir-1k").mkdir()
    corpora.main(["--data", str(tmp_path), "--heard"])
    told = capsys.readouterr().out
    assert all(f"there are no voices at {tmp_path / 'voices' / part}" in told for part in ("valid", "train"))
    assert told.startswith("# Accuracy by corpus and technique") and "| low |" not in told
