"""The loop: what goes out in which order, every way out, and the overload policy, with fakes of ten lines."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys

import numpy as np
import pytest
from fake_audio import FakeAudio
from fake_session import (
    BOUND_MS,
    HOP,
    ORIGIN_S,
    RATE,
    FakeEngine,
    FakeSource,
    LiveSource,
    Recorder,
    assert_no_note_left_on,
    blocks,
    played,
    tracker,
)

from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.session import TELL_EVERY_S, Session, closing, run
from rt_melody.realtime.sinks.csv_file import CSV_HEADER
from rt_melody.realtime.sources import microphone as microphone_module
from rt_melody.realtime.sources.blocks import PacedSource
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.sources.microphone import MicrophoneSource
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

# --- frames and events, in order


def test_start_comes_first_then_each_frame_before_the_events_it_caused():
    sink = Recorder()
    stats = played(FakeSource(blocks(10)), sink)
    kinds = [kind for kind, _ in sink.told]
    assert sink.told[0] == ("start", ORIGIN_S) and kinds.count("start") == 1
    assert kinds[1:3] == ["frame"] * 2, "a note needs two frames that agree"
    assert isinstance(sink.told[3][1], NoteOn)
    assert [f.time_s for f in sink.of(PitchFrame)] == pytest.approx([i * 0.01 for i in range(10)])
    assert kinds[-2:] == ["event", "close"] and isinstance(sink.told[-2][1], NoteOff)
    assert (stats.frames, stats.voiced_frames, stats.notes) == (10, 10, 1)


def test_the_frames_held_back_by_the_engine_come_at_the_end():
    sink = Recorder()
    played(FakeSource(blocks(4)), sink)
    assert len(sink.of(PitchFrame)) == 4, "three would be those that the engine gives before its flush"


def test_an_empty_block_is_no_start_and_no_end():
    sink = Recorder()
    nothing = np.zeros(0, np.float32)
    played(FakeSource([nothing, *blocks(3), nothing, *blocks(3)]), sink)
    assert len(sink.of(PitchFrame)) == 6
    silent = Recorder()
    assert played(FakeSource([nothing, nothing]), silent).frames == 0
    assert silent.told == [("close", None)]


def test_two_sinks_hear_the_same():
    one, other = Recorder(), Recorder()
    played(FakeSource(blocks(20)), one, other)
    assert one.told == other.told and len(one.told) > 20


def test_block_sizes_change_nothing():
    told = []
    for sizes in ([7] * 30, [1] * 210, [210], [11, 199]):
        sink = Recorder()
        played(FakeSource([np.zeros(n, np.float32) for n in sizes]), sink)
        told.append(sink.told)
    assert all(one == told[0] for one in told) and len(told[0]) > 21


def test_a_second_run_equals_the_first_and_is_not_its_sequel():
    source, sinks = FakeSource(blocks(8)), [Recorder(), Recorder()]
    session = Session(source, tracker(), sinks[:1])
    tallies = []
    for sink in sinks:
        session.sinks = [sink]
        with source:
            tallies.append(session.run())
    assert sinks[0].told == sinks[1].told
    assert tallies[0] == tallies[1] and tallies[0].frames == 8


def test_a_run_after_one_that_failed_equals_a_first_run():
    used, fresh, after = tracker(), Recorder(), Recorder()
    with pytest.raises(RtMelodyError):
        run(FakeSource([*blocks(6), RtMelodyError("unplugged")]), [Recorder()], lambda rate: used)
    run(FakeSource(blocks(8)), [after], lambda rate: used)
    played(FakeSource(blocks(8)), fresh)
    assert after.told == fresh.told


def test_a_tracker_that_was_in_use_starts_afresh():
    used, fresh, after = tracker(), Recorder(), Recorder()
    used.reset()
    assert [item for item in used.feed(np.zeros(10 * HOP)) if isinstance(item, NoteOn)], "a note sounds"
    run(FakeSource(blocks(8)), [after], lambda rate: used)
    played(FakeSource(blocks(8)), fresh)
    assert after.told == fresh.told


def test_samples_that_were_not_finite_are_counted_though_the_flush_resets_the_engine():
    bad = np.full(HOP, np.nan, np.float32)
    stats = played(FakeSource([bad, *blocks(3), bad]))
    assert stats.replaced_samples == 2 * HOP and "20 samples not finite" in stats.line()


def test_an_engine_for_another_rate_is_refused():
    source = FakeSource(blocks(3))
    source.sample_rate = 2 * RATE
    with pytest.raises(ValueError, match="1000 Hz.*2000 Hz"):
        played(source, Recorder())


# --- ways out


def test_stop_is_asked_once_a_block_and_the_rest_is_told():
    asked = []
    sink = Recorder()
    stats = played(FakeSource(blocks(100)), sink, stop=lambda: asked.append(1) or len(asked) > 6)
    assert stats.frames == 6
    assert_no_note_left_on(sink)


def test_a_lost_device_is_raised_after_everything_it_had_captured_was_given():
    source, sink = FakeSource([*blocks(6), RtMelodyError("unplugged")]), Recorder()
    with pytest.raises(RtMelodyError, match="unplugged"):
        played(source, sink)
    assert len(sink.of(PitchFrame)) == 6 and source.closed
    assert_no_note_left_on(sink)


@pytest.mark.parametrize("source, engine", [
    (FakeSource([*blocks(6), RuntimeError("the engine broke")]), FakeEngine()),
    (FakeSource(blocks(20)), FakeEngine(fail_at_s=0.065)),
])
def test_a_defect_ends_the_note_and_shows_itself(source, engine):
    sink = Recorder()
    with pytest.raises(RuntimeError, match="the engine broke"):
        played(source, sink, engine=engine)
    assert_no_note_left_on(sink)
    assert source.closed


@pytest.mark.parametrize("kind", ["start", "frame", "event"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sink_that_fails_costs_the_others_nothing(kind, place):
    """The others play on to the end; the failed one hears no more but close; it is told at once, and raised at the end."""
    sinks, told = [Recorder("first"), Recorder("last")], []
    broken = Recorder("broken", fail_on=kind)
    sinks.insert(place, broken)
    with pytest.raises(RtMelodyError, match=f"broken cannot {kind}"):
        played(FakeSource(blocks(10, 5 * HOP)), *sinks, tell=told.append)
    good = [sink for sink in sinks if sink is not broken]
    assert good[0].told == good[1].told and len(good[0].of(PitchFrame)) == 50
    assert told == [f"broken: broken cannot {kind}; what else goes out goes on"]
    assert_no_note_left_on(good[0])
    assert [k for k, _ in broken.told].count(kind) == 1 and broken.told[-1] == ("close", None)


def test_the_last_output_that_fails_ends_the_run_and_what_only_shows_is_none():
    source, broken, shown = FakeSource(blocks(20)), Recorder("broken", fail_on="event"), Recorder("shown")
    shown.is_output = False
    with pytest.raises(RtMelodyError, match="broken cannot event"):
        played(source, broken, shown)
    assert source.left, "nobody listens any more"
    assert len(shown.of(PitchFrame)) == 20 - len(source.left)


def test_a_display_that_fails_is_no_reason_to_end():
    shown, sink = Recorder("shown", fail_on="frame"), Recorder()
    shown.is_output = False
    with pytest.raises(RtMelodyError, match="shown cannot frame"):
        played(FakeSource(blocks(8)), shown, sink)
    assert len(sink.of(PitchFrame)) == 8


def test_the_first_error_is_the_one_raised():
    sinks = [Recorder("late", fail_on="close"), Recorder("early", fail_on="frame"), Recorder("latest", fail_on="close")]
    with pytest.raises(RtMelodyError, match="early cannot frame"):
        played(FakeSource(blocks(10)), *sinks)
    assert all(sink.closed for sink in sinks)


def test_of_two_sinks_that_fail_in_one_block_the_first_is_told():
    """The event comes with the third frame, after the other sink has failed on the first."""
    with pytest.raises(RtMelodyError, match="second cannot frame"):
        played(FakeSource(blocks(1, 20 * HOP)), Recorder("first", fail_on="event"), Recorder("second", fail_on="frame"))


def test_an_error_in_closing_is_raised_when_there_was_no_other():
    sinks = [Recorder(), Recorder("second", fail_on="close"), Recorder("third", fail_on="close"), Recorder()]
    with pytest.raises(RtMelodyError, match="second cannot close"):
        played(FakeSource(blocks(10)), *sinks)
    assert all(sink.closed for sink in sinks)


def test_an_error_in_closing_is_raised_also_while_the_caller_handles_another():
    try:
        raise KeyError("the caller's own")
    except KeyError:
        with pytest.raises(RtMelodyError, match="cannot close"), closing([Recorder(fail_on="close")]):
            pass


def test_a_source_that_does_not_open_leaves_the_sinks_closed():
    source, sink = FakeSource([]), Recorder()

    def refuse() -> None:
        raise RtMelodyError("busy")

    source.open = refuse
    with pytest.raises(RtMelodyError, match="busy"):
        played(source, sink)
    assert sink.closed


def test_an_interrupt_closes_the_note_too():
    def interrupt() -> bool:
        if sink.of(NoteOn):
            raise KeyboardInterrupt
        return False

    sink = Recorder()
    with pytest.raises(KeyboardInterrupt):
        played(FakeSource(blocks(30)), sink, stop=interrupt)
    assert_no_note_left_on(sink)


def test_run_makes_the_tracker_for_the_rate_of_the_open_source():
    sink, made = Recorder(), []
    stats = run(FakeSource(blocks(8)), [sink], lambda rate: made.append(rate) or tracker())
    assert (stats.frames, stats.notes, made) == (8, 1, [RATE])


# --- live


def test_while_live_the_garbage_collector_rests():
    asked = []
    source = LiveSource([HOP] * 5)
    assert gc.isenabled()
    with pytest.raises(RtMelodyError):
        played(source, Recorder(fail_on="event"), stop=lambda: asked.append(gc.isenabled()))
    assert asked and not any(asked)
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_while_a_file_plays_the_garbage_collector_works():
    asked = []
    played(FakeSource(blocks(3)), stop=lambda: asked.append(gc.isenabled()))
    assert asked and all(asked)


def test_a_live_stream_begins_with_its_newest_audio():
    """What came while the model was loaded is neither heard nor counted; time 0 is the first sample heard."""
    source, sink, engine = LiveSource([HOP] * 10, ready_samples=3000), Recorder(), FakeEngine()
    source.lost_samples = 400
    stats = played(source, sink, engine=engine)
    assert stats.skips == 0 and stats.lost_s == 0.0 and stats.frames == 10
    assert sink.told[0] == ("start", ORIGIN_S + 3.0)
    assert sink.of(PitchFrame)[0].time_s == 0.0
    assert engine.warmed


@pytest.mark.parametrize("behind_s", [0.1, 1.0, 5.0])
def test_falling_behind_is_skipped_and_time_goes_on(behind_s):
    behind = int(behind_s * RATE)
    source = LiveSource([HOP] * 20 + [behind] + [HOP] * 20, ready_samples=3000)
    sink, engine, told, shown = Recorder(), FakeEngine(), [], []
    stats = played(source, sink, engine=engine, tell=told.append, on_skip=lambda t: shown.append(t.skips))
    assert stats.skips == 1 and stats.skipped_s == pytest.approx(behind_s)
    assert [s for s in engine.resets if s] == [pytest.approx(0.2 + behind_s)], "the engine goes on where the newest audio stands"
    assert max(source.backlogs[21:]) == 0
    times = [frame.time_s for frame in sink.of(PitchFrame)]
    assert np.all(np.diff(times) > 0) and times[-1] == pytest.approx(0.4 + behind_s - 0.01)
    assert not [t for t in times if 0.2 <= t < 0.2 + behind_s - 1e-9]
    assert stats.frames == len(times) == 19 + 20
    assert told == [told[0]] and f"{behind} ms" in told[0] and "50 ms" in told[0] and "1 skip " in told[0]
    assert shown == [1] and "fell behind 1 time " in stats.line()


@pytest.mark.slow
def test_the_note_that_sounded_ends_before_the_skip_and_another_begins_after_it():
    source, sink = LiveSource([HOP] * 20 + [1000] + [HOP] * 20), Recorder()
    played(source, sink)
    (first_off, second_off), (first_on, second_on) = sink.of(NoteOff), sink.of(NoteOn)
    assert first_on.time_s < first_off.time_s <= 0.2 and second_on.time_s == pytest.approx(1.2)
    order = [what for kind, what in sink.told if kind == "event"]
    assert order.index(first_off) < order.index(second_on) < order.index(second_off)
    assert [kind for kind, _ in sink.told].count("start") == 1, "the origin of the stream did not move"


@pytest.mark.slow
def test_at_the_bound_nothing_is_skipped_and_one_sample_beyond_all_is():
    """In hand and behind together may hold the bound and one block of the device."""
    allowed = int(BOUND_MS / 1000 * RATE) + HOP
    assert played(LiveSource([HOP] * 5 + [allowed] + [HOP] * 5, most=20)).skips == 0
    assert played(LiveSource([HOP] * 5 + [allowed + 1] + [HOP] * 5, most=20)).skips == 1


@pytest.mark.parametrize("block", [85, 200, 1000])
def test_a_device_block_beyond_the_bound_is_no_overload(block):
    """85 ms and more at a time, with a read limit of 100 ms: every sample is heard."""
    source = LiveSource(([block] + [0] * ((block - 1) // 100)) * 10, block=block)
    stats = played(source)
    assert stats.skips == 0 and stats.frames == 10 * block // HOP


@pytest.fixture
def microphone(monkeypatch):
    """An open microphone at 1 kHz, its PortAudio, and the seconds its clock shows, in a list of one."""
    clock_s = [100.0]
    monkeypatch.setattr(microphone_module.time, "perf_counter", lambda: clock_s[0])
    audio = FakeAudio([("Studio", 0, 1, RATE)])
    source = MicrophoneSource(backend=audio)
    source.open()
    yield source, audio, clock_s
    source.close()


def arrive(audio, clock_s, pieces, samples: int) -> None:
    """A period of the device, which PortAudio hands over in ``pieces`` calls one right after another."""
    clock_s[0] += pieces * samples / RATE - 0.0001 * pieces
    for _ in range(pieces):
        clock_s[0] += 0.0001
        audio.stream.play(np.zeros((samples, 1)))


@pytest.mark.parametrize("pieces, samples", [(1, 10), (1, 85), (4, 25)])
def test_the_block_of_a_device_is_what_comes_together(microphone, pieces, samples):
    source, audio, clock_s = microphone
    assert source.device_block_samples == 0
    for _ in range(5):
        arrive(audio, clock_s, pieces, samples)
        assert source.device_block_samples == pieces * samples


def test_a_jam_of_the_device_is_forgotten_with_the_audio_that_is_skipped(microphone):
    source, audio, clock_s = microphone
    arrive(audio, clock_s, 30, 10)
    assert source.device_block_samples == 300
    assert source.skip_to_newest() == 300
    for _ in range(3):
        arrive(audio, clock_s, 1, 10)
        assert source.device_block_samples == 10


@pytest.mark.slow
def test_with_large_device_blocks_falling_behind_is_still_noticed():
    source = LiveSource([85] * 5 + [85 * 3] + [85] * 5, block=85)
    stats = played(source)
    assert stats.skips == 1 and stats.skipped_s == pytest.approx(0.255)


def test_a_machine_that_is_always_too_slow_never_lags_by_more_than_the_bound():
    """Twenty milliseconds come in while ten are worked on: what is heard is never older than the bound."""
    source = LiveSource([20] * 500, most=10)
    engine, waited = FakeEngine(), []
    feed = engine.feed
    engine.feed = lambda samples: waited.append(len(samples) + source.backlog_samples) or feed(samples)
    stats = played(source, engine=engine)
    assert stats.skips > 50 and stats.frames > 50
    assert max(waited) <= BOUND_MS + HOP


def test_overload_is_told_every_few_seconds_at_most_and_counted_always():
    """Ten skips a second apart: the 1st, 4th, 7th and 10th are told."""
    seconds, told = iter(range(100)), []
    stats = played(LiveSource([500] * 10), tell=told.append, clock=lambda: next(seconds))
    assert stats.skips == 10 and stats.skipped_s == pytest.approx(5.0)
    assert TELL_EVERY_S == 3.0
    assert [text.split("(")[1].split(" so far")[0] for text in told] == ["1 skip", "4 skips", "7 skips", "10 skips"]


def test_a_file_that_falls_behind_skips_nothing():
    source = LiveSource([HOP] * 5 + [5000] + [HOP] * 5)
    source.live = False
    stats = played(source)
    assert stats.skips == 0 and stats.frames == 510


def test_lost_samples_are_counted_and_move_the_origin_forward_only():
    """A loss of 2 s: later sound came later by the clock than its index tells, so the sinks start anew."""
    source, sink = LiveSource([HOP] * 20 + [1000] + [HOP] * 20), Recorder()
    source.lost_samples = 0
    skip = source.skip_to_newest

    def skip_and_lose() -> int:
        if source.position_samples:
            source.lost_samples, source.origin_s = 2000, ORIGIN_S + 2.0
        return skip()

    source.skip_to_newest = skip_and_lose
    stats = played(source, sink)
    assert stats.lost_s == 2.0 and "2.00 s were lost" in stats.line()
    assert [what for kind, what in sink.told if kind == "start"] == [ORIGIN_S, ORIGIN_S + 2.0]


def test_what_the_device_dropped_itself_is_told_and_counted_from_the_start_of_the_session():
    source, told = LiveSource([HOP] * 20), []
    source.overflows = 7  # while the program was getting ready
    read = source.read

    def read_and_overflow(timeout_s: float):
        source.overflows += source.position_samples in (50, 100)
        return read(timeout_s)

    source.read = read_and_overflow
    stats = played(source, tell=told.append, clock=iter([10.0, 20.0]).__next__)
    assert stats.overflows == 2 and stats.frames == 20 and "the device reported dropped samples 2 times" in stats.line()
    assert ["(1 time so far)" in told[0], "(2 times so far)" in told[1]] == [True, True] and len(told) == 2


@pytest.mark.slow
@pytest.mark.parametrize("lost_s, told", [(0.005, []), (0.3, [ORIGIN_S + 0.3])])
def test_what_a_device_dropped_moves_the_times_of_outputs_and_ends_no_note(lost_s, told):
    source, sink = LiveSource([HOP] * 20), Recorder()
    read = source.read

    def read_and_lose(timeout_s: float):
        if source.position_samples == 100:
            source.overflows, source.origin_s = 1, ORIGIN_S + lost_s
        return read(timeout_s)

    source.read = read_and_lose
    played(source, sink)
    assert [what for kind, what in sink.told if kind == "retime"] == told
    assert [what for kind, what in sink.told if kind == "start"] == [ORIGIN_S] and len(sink.of(NoteOn)) == 1


def test_a_wall_clock_set_back_moves_no_origin_back():
    class Backwards(LiveSource):
        origin_s = property(lambda self: ORIGIN_S if self.position_samples < 500 else ORIGIN_S - 3.0)

    sink = Recorder()
    assert played(Backwards([HOP] * 20 + [1000] + [HOP] * 20), sink).skips == 1
    assert [what for kind, what in sink.told if kind == "start"] == [ORIGIN_S]


# --- signals, as the shell sends them


COMMAND = (
    "import os, sys; os.environ['OMP_NUM_THREADS'] = '1'\n"
    "from rt_melody.realtime.cli import main\n"
    "sys.exit(main())"
)


def sung() -> bytes:
    """The first notes of the demo song, cut off in the middle of one, as raw float32 at 16 kHz."""
    return demo_phrase(16000).samples[: 4 * 16000].astype("<f4").tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_in_good_order(tmp_path, number):
    """Standard input stays open; the program has heard the first notes when the signal comes."""
    files = "--csv", tmp_path / "a.csv", "--midi-file", tmp_path / "a.mid"
    arguments = ["--input", "-", "--rate", "16000", "--jsonl", *map(str, files)]
    program = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False
    )
    with program:
        program.stdin.write(sung())
        program.stdin.flush()
        first = program.stdout.readline()
        program.send_signal(number)
        # `communicate` would close stdin, and the program could end for that reason
        rest, said = program.stdout.read(), program.stderr.read().decode()
        assert program.wait(60) == 0, said
    assert b"note_on" in first
    kinds = [line.split(b'"type": "')[1].split(b'"')[0] for line in [first, *rest.splitlines()]]
    assert kinds.count(b"note_on") == kinds.count(b"note_off")
    assert "Traceback" not in said and "frames" in said
    rows = (tmp_path / "a.csv").read_text().splitlines(keepends=True)
    assert rows[0] == CSV_HEADER and all(row.count(",") == 4 and row.endswith("\n") for row in rows)
    midi = (tmp_path / "a.mid").read_bytes()
    assert int.from_bytes(midi[18:22], "big") == len(midi) - 22 and midi.endswith(b"\x00\xff\x2f\x00")


@pytest.mark.parametrize("realtime", [True, False])
def test_a_recording_at_the_pace_of_the_clock_is_played_under_live_conditions(realtime):
    """Somebody may listen to the MIDI that it makes; one read as fast as possible must not take the machine."""
    asked = []

    class Song(PacedSource):
        sample_rate = RATE

        def open(self) -> None:
            self._begin()

        def _next_block(self, max_samples: int):
            return np.zeros(HOP, np.float32) if self.position_samples < 5 * HOP else None

    session = Session(Song(realtime, sleep=lambda s: None), tracker(), [], stop=lambda: asked.append(gc.isenabled()))
    session.source.open()
    session.run()
    assert set(asked) == {not realtime} and session.timing.live == realtime


def test_what_is_known_of_the_band_comes_beside_the_voice():
    class Duo(FakeSource):
        @property
        def reference(self):
            return np.full(HOP, self.position_samples, np.float32)

    class Pairs(FakeEngine):
        def feed(self, samples, reference=None):
            beside.append(reference)
            return super().feed(samples)

    beside = []
    played(Duo(blocks(3)), engine=Pairs())
    assert [list(given) for given in beside] == [[HOP * i] * HOP for i in (1, 2, 3)]
