"""Words handed over: in order, never waited for, none left behind at a good end."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.timing.background import BackgroundWriter, LineLog
from rt_melody.realtime.timing.scheduling import live_thread


def test_texts_are_said_in_order_by_another_thread():
    said = []
    writer = BackgroundWriter(lambda text: said.append((text, threading.get_ident())))
    assert all(writer.take(str(i)) for i in range(50))
    writer.close()
    assert [text for text, _ in said] == [str(i) for i in range(50)]
    assert {thread for _, thread in said} != {threading.get_ident()}


def test_nobody_waits_for_a_listener_that_takes_nothing():
    go_on, said = threading.Event(), []
    writer = BackgroundWriter(lambda text: (go_on.wait(10), said.append(text)), most=3)
    taken = [writer.take(str(i)) for i in range(20)]
    assert sum(taken) in (3, 4), "what waits, and what is being said"
    writer.close(timeout_s=0.01)
    go_on.set()
    assert taken[:3] == [True] * 3 and not taken[-1]


def test_a_text_after_the_end_begins_anew():
    said = []
    writer = BackgroundWriter(said.append)
    writer.close()
    for text in ("one", "two"):
        assert writer.take(text)
        writer.close()
    assert said == ["one", "two"]


def test_many_who_speak_first_at_once_start_one_speaker():
    started = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            writer = BackgroundWriter(lambda text: started.append(threading.get_ident()))
            start = threading.Barrier(4)
            threads = [threading.Thread(target=lambda: (start.wait(), writer.take("x"))) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            writer.close()
            assert len(started) == 4 and len(set(started)) == 1
            started.clear()
    finally:
        sys.setswitchinterval(before)


def test_a_log_holds_whole_lines_once_closed(tmp_path):
    log = LineLog(tmp_path / "log.jsonl")
    log.take('{"a": 1}')
    log.take('{"a": 2}')
    log.close()
    log.close()
    assert (tmp_path / "log.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'
    with pytest.raises(OutputError, match="log.jsonl cannot be written"):
        LineLog(tmp_path / "none" / "log.jsonl")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux's calls")
@pytest.mark.parametrize("live", [True, False])
def test_the_speaker_of_a_thread_that_runs_first_runs_first_too(live):
    """Else it could be held up with the interpreter in its hands, and the live thread would wait for it."""
    policies = []
    writer = BackgroundWriter(lambda text: policies.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK))
    writer.take("zero")
    with live_thread(live) as scheduling:
        writer.take("one")
        writer.close()
    assert policies == [os.SCHED_OTHER, os.SCHED_FIFO if scheduling.priority else os.SCHED_OTHER]
