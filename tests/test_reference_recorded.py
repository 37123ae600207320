"""A band that is known beforehand: at its place whatever the rates and the chunks, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.realtime.api import track
from rt_melody.realtime.cli import main
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.reference.recorded import RecordedBand, resampled
from rt_melody.realtime.types import PitchFrame

RATE = 16000
SECONDS = 7.0
ROOM = np.zeros(400)
ROOM[[40, 90, 160, 399]] = 0.9, -0.4, 0.3, 0.1


def sung(low: int, seed: int, rate: int = RATE) -> np.ndarray:
    notes = [SungNote(0.2 + 0.55 * i, 0.45, low + 2 * (i % 5), "aeiou"[i % 5]) for i in range(int(SECONDS / 0.55) - 1)]
    return render_phrase(notes, rate, seed=seed, singer=Singer(), duration_s=SECONDS).samples


@pytest.fixture(scope="module")
def band() -> np.ndarray:
    """Another voice, which nobody can tell from the singer but by knowing it, and cymbals."""
    voice = sung(64, 5)
    hits = np.exp(-(np.arange(len(voice)) % (RATE // 2)) / 1500.0) * np.random.default_rng(1).standard_normal(len(voice))
    return (voice + 0.5 * np.std(voice) * hits / np.std(hits)).astype(np.float32)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return sung(50, 6)


@pytest.fixture(scope="module")
def microphone(voice, band) -> np.ndarray:
    leak = np.convolve(band, ROOM)[: len(band)]
    return (voice + 1.5 * leak * np.std(voice) / np.std(leak)).astype(np.float32)


def right_share(melody, truth) -> float:
    """Of the frames after 2 s that are sung, those at the singer's pitch."""
    late = (melody.time_s > 2.0) & truth.voiced
    return float(np.mean(melody.voiced[late] & (np.abs(np.log2(melody.f0_hz[late] / truth.f0_hz[late])) < 0.5 / 12)))


@pytest.mark.slow
def test_the_singer_is_heard_and_not_the_band(microphone, voice, band):
    truth = track(voice, RATE)
    without, known = track(microphone, RATE), track(microphone, RATE, reference=band)
    assert right_share(without, truth) < 0.7 and right_share(known, truth) > 0.9, right_share(known, truth)


@pytest.mark.parametrize("rates", [(44100, 44100), (48000, 44100), (16000, 48000)])
def test_rates_do_not_matter(rates, voice, band):
    at, beside = (np.interp(np.arange(0, SECONDS, 1 / rate), np.arange(len(band)) / RATE, band) for rate in rates)
    took = RecordedBand(beside, rates[1], RATE, 160)
    heard = resampled(np.convolve(at, [0.0, 0.8])[: len(at)], rates[0], RATE)
    left = [took.taken_out_of(heard[i : i + 160].copy()).copy() for i in range(0, len(heard) - 160, 160)]
    late = slice(4 * RATE, 6 * RATE)
    assert np.std(np.concatenate(left)[late]) < 0.4 * np.std(heard[late])


def test_in_pieces_it_is_taken_out_the_same(microphone, band):
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    tracker.know_band(band)
    whole = tracker.feed(microphone) + tracker.flush()
    tracker.reset()
    pieces = [item for piece in np.array_split(microphone, 211) for item in tracker.feed(piece)] + tracker.flush()
    assert pieces == whole


def test_after_a_skip_it_stands_where_time_stands(microphone, voice, band):
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    tracker.know_band(band)
    tracker.feed(microphone[:RATE])
    tracker.skip_to(2.5)
    heard = tracker.feed(microphone[round(2.5 * RATE) :])
    frames = [item for item in heard if isinstance(item, PitchFrame)]
    assert frames[0].time_s == pytest.approx(2.5, abs=0.02)
    assert tracker.band.taken_db > 3.0


def test_fed_beside_the_voice_it_is_taken_out_as_when_it_is_known(microphone, band):
    known, fed = (MelodyTracker.from_settings(sample_rate=RATE) for _ in range(2))
    known.know_band(band)
    fed.expect_reference()
    pairs = zip(np.array_split(microphone, 97), np.array_split(band, 97))
    heard = [item for voice, beside in pairs for item in fed.feed(voice, beside)]
    assert heard == known.feed(microphone)
    assert fed.band.taken_db == known.band.taken_db > 3.0


def test_a_stream_that_begins_with_a_reference_expects_it_and_one_that_goes_on_without_hears_silence(microphone, band):
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    tracker.feed(microphone[: 4 * RATE], band[: 4 * RATE])
    assert tracker.band.taken_db > 3.0
    tracker.feed(microphone[4 * RATE :])
    assert abs(tracker.band.taken_db) < 1.0


@pytest.mark.parametrize(
    ("beside", "said"),
    [(np.zeros(9, np.float32), "9 samples of the reference beside 10"), (np.zeros(10, np.int16), "feed floats")],
)
def test_a_reference_of_another_kind_is_refused(beside, said):
    with pytest.raises(ValueError, match=said):
        MelodyTracker.from_settings(sample_rate=RATE).feed(np.zeros(10, np.float32), beside)


def test_a_reference_out_of_the_blue_is_refused():
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    tracker.feed(np.zeros(10, np.float32))
    with pytest.raises(ValueError, match="expect_reference"):
        tracker.feed(np.zeros(10, np.float32), np.zeros(10, np.float32))


def test_after_a_skip_the_room_is_still_known(microphone, band):
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    tracker.know_band(band)
    tracker.feed(microphone[: 4 * RATE])
    tracker.skip_to(4.5)
    tracker.feed(microphone[round(4.5 * RATE) : round(4.8 * RATE)])
    anew = MelodyTracker.from_settings(sample_rate=RATE)
    anew.know_band(band[round(4.5 * RATE) :])
    anew.feed(microphone[round(4.5 * RATE) : round(4.8 * RATE)])
    assert tracker.band.removed_db > anew.band.removed_db + 6.0


def reference_hops(known: RecordedBand, seconds: float) -> np.ndarray:
    """What it hands to the canceller [shape=(n,)]."""
    hops = []
    for _ in range(round(seconds * RATE / 160)):
        known.taken_out_of(np.zeros(160, np.float32))
        hops.append(known._hop.copy())
    return np.concatenate(hops)


def test_a_band_that_is_known_earlier_than_it_is_due_is_the_same_band_later(band):
    """With a lead of 100 ms its sample at 0.1 s stands at stream time 0."""
    led = reference_hops(RecordedBand(band, RATE, RATE, 160, lead_s=0.1), 2.0)
    cut = reference_hops(RecordedBand(band[1600:], RATE, RATE, 160), 2.0)
    assert led[RATE // 2 :] == pytest.approx(cut[RATE // 2 :], abs=1e-5)  # the filter against DC began at another place


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_band_that_loops_goes_on_where_it_ends(rate):
    """Whole periods of a sine in 1 s: nothing is to be seen of its end."""
    loop = RecordedBand(np.sin(2 * np.pi * 500 * np.arange(rate) / rate).astype(np.float32), rate, RATE, 160, loops=True)
    loop.reset(0.5)
    seen = reference_hops(loop, 2.0)
    assert np.abs(seen - np.sin(2 * np.pi * 500 * (0.5 + np.arange(len(seen)) / RATE))).max() < 0.035  # the filter against DC


def test_a_band_shorter_than_a_hop_loops_too():
    loop = RecordedBand(np.linspace(-1, 1, 50).astype(np.float32), RATE, RATE, 160, loops=True)
    seen = reference_hops(loop, 0.1)
    np.testing.assert_array_equal(seen[50:], seen[:-50])


@pytest.mark.slow
def test_silence_in_place_of_a_band_changes_nothing(microphone):
    plain, silent = track(microphone, RATE), track(microphone, RATE, reference=np.zeros(len(microphone), np.float32))
    assert np.array_equal(plain.f0_hz, silent.f0_hz) and plain.events == silent.events


@pytest.mark.slow
def test_the_command_takes_it_out_too(microphone, voice, band, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("sung.wav", 0.3 * microphone, RATE, subtype="FLOAT")
    soundfile.write("band.wav", np.stack([band, band], 1) * 0.5, RATE, subtype="FLOAT")
    assert main(["--input", "sung.wav", "--reference", "band.wav", "--csv", "a.csv"]) == 0
    assert "of it were taken out" in capsys.readouterr().err
    rows = np.genfromtxt("a.csv", delimiter=",", names=True)
    melody = track(0.3 * microphone, RATE, reference=0.5 * band)
    assert rows["f0_hz"] == pytest.approx(melody.f0_hz, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "sung.wav", "--reference", "gone.wav"], "--reference gone.wav: there is no such file"),
        (["--input", "sung.wav", "--reference", "short.wav"], "--reference short.wav lasts 1.0 s and the input 3.0 s; give the whole band"),
        (["--input", "sung.wav", "sung.wav", "--reference", "short.wav"], "is for the microphone or for one recording"),
        (["--input", "sung.wav", "--reference", "Monitor of the loudspeaker"], "Monitor of the loudspeaker: there is no such file"),
        (["--input", "mic", "--reference", "short.wav"], "to sing over it give --backing short.wav"),
        (["--input", "sung.wav", "--reference", "short.wav", "--csv", "short.wav"], "--csv short.wav is also the reference short.wav"),
    ],
)
def test_a_reference_that_cannot_be_used(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("sung.wav", np.zeros(3 * RATE), RATE)
    soundfile.write("short.wav", np.zeros(RATE), RATE)
    assert main([*arguments, "--quiet"]) == 2
    assert said in capsys.readouterr().err
