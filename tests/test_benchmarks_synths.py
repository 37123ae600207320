"""The ear of the synthesiser benchmark on sound whose pitch is known, and its verdicts on players that err in known ways."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from rt_melody.benchmarks.rig.dssi_host import Event, event_of
from rt_melody.benchmarks.rig.instruments import INSTRUMENTS
from rt_melody.benchmarks.rig.midi_reader import Channel
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE
from rt_melody.benchmarks.synths import (
    HOP_S,
    MODES,
    compare,
    heard_pitch,
    make_melody,
    own_tuning,
    score_of,
    settings_for,
    short_melody,
    table,
    verdict,
)
from rt_melody.realtime.settings.synths import SYNTHS
from rt_melody.realtime.types import midi_to_hz


def tone(pitch: np.ndarray) -> np.ndarray:
    """Harmonics of ``pitch`` a sample, NaN is silence."""
    phase = 2 * np.pi * np.cumsum(np.where(np.isfinite(pitch), midi_to_hz(np.nan_to_num(pitch)), 0.0)) / SAMPLE_RATE
    return np.where(np.isfinite(pitch), sum(np.sin(k * phase) / k for k in range(1, 6)), 0.0)


@pytest.mark.parametrize("pitch", [45.3, 57.0, 60.17, 69.5, 76.9])
def test_the_ear_hears_a_harmonic_tone_to_half_a_cent(pitch):
    sound, times_s = tone(np.full(SAMPLE_RATE, pitch)), np.arange(0.2, 0.8, 0.1)
    for near in (pitch - 1.4, pitch, pitch + 2.1):
        np.testing.assert_allclose(heard_pitch(sound, times_s, np.full(len(times_s), near)), pitch, atol=0.005)


def test_the_ear_hears_nothing_in_silence_in_noise_and_where_the_pitch_is_elsewhere():
    at_s, near = np.array([0.5]), np.array([60.0])
    for sound in (np.zeros(SAMPLE_RATE), np.random.default_rng(1).normal(size=SAMPLE_RATE), tone(np.full(SAMPLE_RATE, 66.0))):
        assert np.isnan(heard_pitch(sound, at_s, near))


class Player:
    """A synthesiser of ten lines: it sounds what ``Channel`` reads, ``off`` semitones beside it."""

    def __init__(self, off: float = 0.0, bends: bool = True, deaf_to: int | None = None) -> None:
        self.off, self.bends, self.deaf_to = off, bends, deaf_to

    def play(self, score, seconds):
        pitch, channels = np.full(round(seconds * SAMPLE_RATE), np.nan), {}
        for at_s, message in score:
            channel = channels.setdefault(message[0] & 0x0F, Channel())
            if not (message[0] & 0xF0 == 0xE0 and not self.bends):
                channel.take(message)
            sounding = [c.pitch for number, c in channels.items() if number != self.deaf_to and np.isfinite(c.pitch)]
            pitch[round(at_s * SAMPLE_RATE) :] = (sounding[-1] + self.off) if sounding else np.nan
        return tone(pitch)


@pytest.fixture(scope="module")
def melody():
    return make_melody(short_melody())


def figures(player, mode, melody, tuning=None):
    said = settings_for("fluidsynth", mode)
    score = score_of(melody.sung, mode, said)
    sound = player.play(score, len(melody.sung) * HOP_S + 0.3)
    return compare(sound, melody, score, own_tuning(player) if tuning is None else tuning)


@pytest.mark.parametrize("mode", MODES)
def test_a_player_that_does_as_it_is_told_is_in_tune_whatever_its_own_tuning(mode, melody):
    found = figures(Player(off=0.63), mode, melody)
    assert found["median_cents"] < 1.5 and found["p90_cents"] < 6 and found["heard"] > 0.9
    assert verdict({"synthesiser": "fluidsynth", **found}) == "in tune"


def test_faults_are_found(melody):
    sharp = figures(Player(off=0.2), "mono", melody, tuning=0.0)
    assert sharp["median_cents"] == pytest.approx(20, abs=1.5)
    stiff = figures(Player(bends=False), "mono", melody)
    assert verdict({"synthesiser": "fluidsynth", **stiff}) == "out of tune" and stiff["p90_cents"] > 20
    assert verdict({"synthesiser": "setbfree", **stiff}) == "does not bend"
    silent = figures(Player(deaf_to=0), "mono", melody, tuning=0.0)
    assert verdict({"synthesiser": "fluidsynth", **silent}) == "silent" and silent["median_cents"] is None


def test_a_plain_tuning_is_found_and_none_where_nothing_sounds():
    assert own_tuning(Player(off=-0.4)) == pytest.approx(-0.4, abs=0.005)
    assert np.isnan(own_tuning(Player(deaf_to=0)))


def test_every_synthesiser_of_the_table_is_measured():
    assert set(INSTRUMENTS) == set(SYNTHS)


def test_the_table_has_a_line_a_row():
    row = {"synthesiser": "calf", "version": "1", "mode": "mono", "tuning_cents": 1.0, "full_bend": 2.0, "after_rpn_7": 2.0}
    text = table([{**row, "bend_range": 2, "median_cents": 1.0, "p90_cents": 2.0, "heard": 1.0, "sounds": 1.0}, {**row, "refused": "no"}])
    assert text.splitlines()[2].endswith("| in tune |") and text.splitlines()[3].endswith("| refused |")


def test_events_of_a_plug_in_by_hand():
    """snd_seq_event_t of ALSA: 28 bytes, the data from byte 16 on."""
    assert ctypes.sizeof(Event) == 28 and Event.data.offset == 16
    note, control, bend = event_of(b"\x91\x3c\x64", 7), event_of(b"\xb0\x07\x50", 0), event_of(b"\xe2\x00\x00", 3)
    assert (note.type, note.tick, list(note.data[:3])) == (6, 7, [1, 60, 100])
    assert (control.type, control.data[4], control.data[8]) == (10, 7, 80)
    assert (bend.type, bend.data[0], int.from_bytes(bytes(bend.data[8:12]), "little", signed=True)) == (13, 2, -8192)
