"""A microphone and an input with a clock of its own beside it: which sample is given beside which, whatever their blocks."""

from __future__ import annotations

import numpy as np
import pytest
from fake_audio import FakeAudio, FakeStream, PortAudioError

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources import TwoInputMicrophone, microphone
from rt_melody.realtime.sources.two_inputs import HELD_S, LOOK_S, PILE_S, SLIP_S, SPARE_S, SecondInput

RATE = 8000
DEVICES = [("mic", 0, 1, float(RATE)), ("monitor", 0, 1, float(RATE))]
SLIP = round(SLIP_S * RATE)


def opened(**audio):
    fake = FakeAudio(DEVICES, **audio)
    source = TwoInputMicrophone("monitor", backend=fake)
    source.open()
    mic, monitor = fake.inputs
    return source, mic, monitor


def played(seconds, block=80, other_block=128, other_rate=RATE, first=1):
    """Blocks (is the other's, first sample, samples) of both in the order in which they are complete; ``first``: of the other."""
    ends = [(at / RATE, False, at - block, block) for at in range(block, int(seconds * RATE) + 1, block)]
    others = range(other_block, int(seconds * other_rate) + 1, other_block)
    return sorted(ends + [(at / other_rate, True, at - other_block + first, other_block) for at in others])


def heard(source, mic, monitor, blocks):
    """All that is given, of the microphone and beside it; every sample says which it is."""
    voices, references = [], []
    for _, is_other, start, count in blocks:
        stream = monitor if is_other else mic
        stream.play(np.arange(start, start + count, dtype=float)[:, None])
        block = source.read(0.0)
        voices.append(block.copy())
        references.append(source.reference.copy())
    return np.concatenate(voices), np.concatenate(references)


@pytest.mark.parametrize("block, other_block", [(80, 128), (512, 64), (64, 512)])
def test_one_clock_keeps_each_sample_beside_its_own(block, other_block):
    voices, references = heard(*opened(), played(4.0, block, other_block))
    np.testing.assert_array_equal(voices, np.arange(len(voices)))
    begins = np.flatnonzero(references)[0]
    beside = references[begins:] - voices[begins:]
    assert begins <= (LOOK_S + 0.1) * RATE
    assert np.ptp(beside) == 0
    late = 1 - beside[0]  # samples behind the newest that there could be
    assert SPARE_S * RATE <= late <= SPARE_S * RATE + other_block + block


@pytest.mark.parametrize("block", [64, 256])
def test_the_other_input_that_is_called_a_moment_after_the_microphone_is_given_no_block_later(block, monkeypatch):
    source, mic, monitor = opened()
    band, coming = source.band, []

    def read(timeout_s):
        if timeout_s > 0.0 and coming:  # whoever waits has it
            monitor.play(coming.pop())
        return SecondInput.read(band, 0.0)

    monkeypatch.setattr(band, "read", read)
    voices, references = [], []
    for start in range(0, 2 * RATE, block):
        samples = np.arange(start, start + block, dtype=float)[:, None]
        coming.append(samples + 1)
        mic.play(samples)
        voices.append(source.read(0.0).copy())
        references.append(source.reference.copy())
    voices, references = np.concatenate(voices), np.concatenate(references)
    there = np.flatnonzero(references)
    assert there[0] <= (LOOK_S + 0.1) * RATE and len(there) == len(references) - there[0]
    assert set(references[there] - 1 - voices[there]) == {-SPARE_S * RATE}


@pytest.mark.parametrize("ppm", [-3000, 3000])
def test_clocks_that_run_apart_slip_by_whole_partitions_and_nothing_is_given_before_it_came(ppm):
    source, mic, monitor = opened()
    rate = RATE * (1 + 1e-6 * ppm)
    voices, references = heard(source, mic, monitor, played(40.0, other_rate=rate))
    begins = np.flatnonzero(references)[0]
    there = np.flatnonzero(references[begins:]) + begins  # what comes late is silent first
    assert len(there) > 0.99 * (len(references) - begins)
    voices, references, begins = voices[there], references[there], 0
    beside = references - voices
    steps = np.diff(beside)
    assert set(np.abs(steps[steps != 0])) <= {SLIP, 2 * SLIP, 3 * SLIP}
    assert source.slips == np.count_nonzero(steps) >= 1
    newest = voices[begins:] * rate / RATE  # of the other, when the microphone's sample came
    assert np.max(references[begins:] - newest) <= 1
    assert np.max(newest - references[begins:]) <= (PILE_S + 2 * LOOK_S * abs(ppm) * 1e-6 + SPARE_S + SLIP_S) * RATE + 208


def test_a_block_longer_than_a_read_is_given_in_order():
    source, mic, monitor = opened()
    heard(source, mic, monitor, played(1.0))
    monitor.play(np.arange(7936, 12000, dtype=float)[:, None] + 1)
    mic.play(np.arange(8000, 12000, dtype=float)[:, None])
    pieces = []
    while len(block := source.read(0.0)):
        pieces.append(source.reference - block)
    assert len(pieces) == 5 and np.ptp(np.concatenate(pieces)) == 0
    assert HELD_S * RATE > 4000


@pytest.mark.parametrize("goes", ["unplug", "stands still"])
def test_a_reference_that_goes_is_told_and_the_microphone_goes_on(goes, monkeypatch):
    source, mic, monitor = opened()
    heard(source, mic, monitor, played(1.0))
    assert source.trouble is None and source.notice is None
    if goes == "unplug":
        monitor.unplug()
    else:
        monkeypatch.setattr(source.band, "_silent_s", lambda: 5.0)
    mic.play(np.ones((80, 1)))
    assert len(source.read(0.0)) == 80
    assert source.reference is None
    assert source.trouble.startswith("the band is not taken out any more: the reference 'monitor, ALSA' was lost: ")
    assert source.trouble.endswith("; the music goes on, and rt-melody started anew takes it out again")
    assert source.notice.startswith("the band was not taken out to the end: the reference 'monitor, ALSA' was lost")
    mic.play(np.ones((80, 1)))
    assert len(source.read(0.0)) == 80 and source.reference is None
    source.close()
    assert mic.closed and monitor.closed


class Waiting:
    """In place of a ReturningInput: it returns when the test says so."""

    active, latency = True, 0.003

    def __init__(self, wanted, callback, on_return, on_finished):
        self.wanted, self.settings, self.on_return = wanted, {"callback": callback}, on_return

    play = FakeStream.play

    def close(self): ...


@pytest.mark.parametrize("lost", ["microphone", "reference"])
def test_either_is_waited_for_and_its_place_beside_the_other_is_found_anew(lost, monkeypatch):
    monkeypatch.setattr(microphone, "ReturningInput", Waiting)
    fake = FakeAudio(DEVICES)
    source = TwoInputMicrophone("monitor", backend=fake, reconnect=True)
    source.open()
    mic, monitor = fake.inputs
    voices, references = heard(source, mic, monitor, played(2.0))
    assert references[-1] > 0
    (mic if lost == "microphone" else monitor).unplug()
    for _ in range(20):  # the other one goes on
        (monitor if lost == "microphone" else mic).play(np.full((80, 1), 0.25))
        block = source.read(0.0)
        assert len(block) == (0 if lost == "microphone" else 80)
        assert source.reference is not None and not source.reference.any()
    if lost == "microphone":
        assert source.trouble.startswith("the audio input 'mic, ALSA' was lost: ") and source.breaks == 1
        back = mic = source._stream
    else:
        assert source.trouble == source.notice
        assert source.trouble.startswith("the band is not taken out: the reference 'monitor, ALSA' was lost: ")
        assert source.trouble.endswith("; the music goes on, and the band is taken out once it is back") and source.breaks == 0
        back = monitor = source.band._stream
    back.on_return()
    voices, references = heard(source, mic, monitor, played(2.0))
    begins = np.flatnonzero(references)[0]
    assert np.ptp(references[begins:] - voices[begins:]) == 0 and begins <= (LOOK_S + 0.1) * RATE
    assert source.trouble is None and source.notice is None
    assert source.relief == f"the {lost} gives sound again"
    source.close()


@pytest.mark.parametrize(
    "reference, said", [("mic", "--reference mic is the microphone itself"), ("gone", "the reference cannot be heard: no audio")]
)
def test_of_a_pair_that_cannot_be_had_nothing_stays_open(reference, said):
    fake = FakeAudio(DEVICES)
    with pytest.raises(DeviceError, match=said):
        TwoInputMicrophone(reference, backend=fake).open()
    assert all(stream.closed for stream in fake.inputs)


def test_a_microphone_that_does_not_open_is_told_as_ever():
    with pytest.raises(DeviceError, match="'mic, ALSA' is busy"):
        opened(failure=PortAudioError("Device unavailable", -9985))
