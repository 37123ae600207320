"""Who sings in the band: what a separator told and a tracker took for singing, counted."""

import numpy as np
import pytest

from rt_melody.benchmarks import backing
from rt_melody.models.training.data import Clip
from rt_melody.realtime.types import PitchFrame

RATE = 1000  # 20 samples a piece


def test_a_chorus_is_where_vocals_have_a_quarter_of_the_band_s_power():
    band = np.ones(100, np.float32)
    vocals = np.repeat(np.float32([0.0, 0.49, 0.52, 1.0, 0.0]), 20)  # -6.2 dB, -5.7 dB
    assert backing.chorus(vocals[:-1], band, RATE).tolist() == [False, False, True, True], "a piece that is not whole is left out"
    assert not backing.chorus(np.zeros(100), np.zeros(100), RATE).any(), "silence is no chorus"


def test_a_clip_is_heard_at_its_labels():
    """A singer from 1 to 2 s of 3, a chorus from 2 s on; the tracker calls voiced whatever sounds."""
    sings, chorus = (np.repeat(np.float32(part), 16000) * tone for part in ([0, 1, 0], [0, 0, 1]) for tone in [np.ones(48000, np.float32)])
    clip = Clip("a_1", "a", sings, chorus, np.repeat(np.float32([0, 60, 0]), 200))

    def track(sound):
        return [PitchFrame(i, i * 0.01, i * 0.01, 220.0, bool(abs(sound[i * 160]) > 0.1), 1.0, 1.0, -20.0) for i in range(300)], None

    heard = backing.hear(clip, track, lambda sound: sound)
    inside = np.arange(150) % 50 != 49  # but for the last piece of each second, whose middle's nearest frame is the next second's
    for told, seconds in ((heard.sung, [0, 1, 0]), (heard.chorus, [0, 0, 1]), (heard.alone, [0, 0, 1]), (heard.mixed, [0, 1, 1])):
        assert (told == np.repeat(seconds, 50))[inside].all()


def heard(chorus, sung, alone, mixed):
    return backing.Heard(*(np.array(part, bool) for part in (chorus, sung, alone, mixed)))


def test_moments_and_clips_are_counted_apart():
    first = heard([1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0], [1, 1, 0, 1])
    second = heard([0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1])
    rows = {r["which"]: r for r in backing.rows_of([first, second])}
    assert rows["moments with a chorus"] == {
        "which": "moments with a chorus", "clips": 1, "seconds": 0.0, "alone": 100.0, "unsung": 50.0, "false_alarm": 100.0,
    }
    without = rows["moments without"]
    assert without["clips"] == 2 and without["alone"] == pytest.approx(100 * 2 / 6) and without["false_alarm"] == pytest.approx(100 / 3)
    assert rows["clips with a chorus"]["alone"] == 75.0 and rows["clips without"]["alone"] == 25.0
    assert [r["which"] for r in backing.rows_of([second])] == ["moments with a chorus", "moments without", "clips without"]
    assert "| clips without | 1 | 0.1 | 25.0 |" in backing.table(backing.rows_of([second]))
