"""Raw samples through a real pipe and from memory."""

from __future__ import annotations

import io
import os
import sys
import time

import numpy as np
import pytest

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.pipe import READ_SAMPLES, PipeSource

SOUND = np.random.default_rng(0).normal(size=3 * READ_SAMPLES + 17).astype("<f4")


class Pipe:
    """Both ends of a pipe; ``source`` reads what ``send`` wrote."""

    def __init__(self) -> None:
        out, self.into = os.pipe()
        self.stream = os.fdopen(out, "rb")
        self.source = PipeSource(self.stream, 48_000)
        self.source.open()

    def send(self, data: bytes) -> None:
        os.write(self.into, data)

    def end(self) -> None:
        os.close(self.into)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.source.close()
    pipe.stream.close()


def read_all(source: PipeSource) -> np.ndarray:
    blocks = [np.zeros(0, np.float32)]
    while (block := source.read(1.0)) is not None:
        assert block.dtype == np.float32 and block.flags.writeable
        blocks.append(block.copy())
    return np.concatenate(blocks)


def through_memory(data: bytes) -> tuple[np.ndarray, PipeSource]:
    source = PipeSource(io.BytesIO(data), 48_000)
    with source:
        return read_all(source), source


@pytest.mark.parametrize("chunk_bytes", [1, 3, 4, 5, 1021, 4096])
def test_samples_arrive_whole_however_the_bytes_were_cut(pipe, chunk_bytes):
    data, received = SOUND[:2000].tobytes(), []
    for start in range(0, len(data), chunk_bytes):
        pipe.send(data[start : start + chunk_bytes])
        received.append(pipe.source.read(1.0).copy())
    np.testing.assert_array_equal(np.concatenate(received), SOUND[:2000])
    pipe.end()
    assert pipe.source.read(1.0) is None and pipe.source.notice is None
    assert pipe.source.position_samples == 2000


def test_what_is_there_is_given_without_waiting_for_a_block(pipe):
    pipe.send(SOUND[:7].tobytes())
    np.testing.assert_array_equal(pipe.source.read(3600.0), SOUND[:7])


def test_nothing_there_is_an_empty_block(pipe):
    assert len(pipe.source.read(0.0)) == 0
    pipe.end()


def test_memory_gives_the_same_and_a_second_source_equals_the_first():
    first, source = through_memory(SOUND.tobytes())
    np.testing.assert_array_equal(first, SOUND)
    assert source.position_samples == len(SOUND) and source.backlog_samples == 0 and not source.live
    np.testing.assert_array_equal(through_memory(SOUND.tobytes())[0], first)


def test_a_sample_that_is_not_whole_is_left_out_and_told():
    sound, source = through_memory(SOUND[:10].tobytes() + b"\1\2\3")
    np.testing.assert_array_equal(sound, SOUND[:10])
    assert source.notice.startswith("the stream ended 3 bytes into a sample") and "float32" in source.notice


def test_an_empty_stream_is_told():
    sound, source = through_memory(b"")
    assert len(sound) == 0 and "before its first sample" in source.notice


def test_the_moment_of_sample_0_is_before_its_arrival(pipe, monkeypatch):
    monkeypatch.setattr("time.perf_counter", lambda: 500.0)
    assert pipe.source.origin_s is None
    pipe.send(SOUND[:480].tobytes())
    pipe.source.read(1.0)
    assert pipe.source.origin_s == pytest.approx(500.0 - 0.01)


def test_after_close_nothing_is_read_and_the_stream_stays_the_callers(pipe):
    pipe.send(SOUND[:4].tobytes())
    pipe.source.close()
    assert pipe.source.read(0.0) is None
    assert pipe.stream.read(16) == SOUND[:4].tobytes()


@pytest.mark.parametrize("rate", [0, -48_000, 10**9, float("nan")])
def test_a_rate_that_no_audio_has_is_refused(rate):
    with pytest.raises(InputError, match="sample rate .* Hz must be a whole number.*--rate"):
        PipeSource(io.BytesIO(), rate).open()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_is_refused_with_an_example():
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as stream, pytest.raises(InputError, match="is a terminal.*ffmpeg"):
        PipeSource(stream, 48_000).open()
    os.close(controller)


def test_asked_for_the_clock_sets_the_pace():
    """0.3 s of sound, all there at once, takes as long to be given; nothing is lost and no block is large."""
    samples = np.arange(4800, dtype="<f4")
    source = PipeSource(io.BytesIO(samples.tobytes()), 16_000, realtime=True)
    with source:
        began_s, blocks = time.perf_counter(), []
        while (block := source.read(0.1)) is not None:
            blocks.append(block.copy())
        took_s = time.perf_counter() - began_s
    np.testing.assert_array_equal(np.concatenate(blocks), samples)
    assert source.paced and took_s >= 0.299 and len(blocks[0]) == 160
