"""What a live stream asks of the system, with the system played by stand-ins where it would have to be ours."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from types import SimpleNamespace

import pytest

from rt_melody.realtime.timing import scheduling
from rt_melody.realtime.timing.scheduling import FIFO_PRIORITY, SchedulingStatus, live_thread

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's calls")


class FakeLinux:
    """Scheduling of one thread, as `os` offers it; ``refuse`` raises as an unprivileged user meets it."""

    SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_RESET_ON_FORK = 0, 1, 2, 0x40000000
    strerror = staticmethod(os.strerror)

    def __init__(self, policy: int = 0, refuse: tuple[int, ...] = ()) -> None:
        self.policy, self.priority, self.refuse = policy, 7 if policy else 0, refuse

    def sched_param(self, priority):
        return SimpleNamespace(sched_priority=priority)

    def sched_getscheduler(self, pid):
        return self.policy

    def sched_getparam(self, pid):
        return SimpleNamespace(sched_priority=self.priority)

    def sched_setscheduler(self, pid, policy, parameter):
        assert pid == 0, "0 is the calling thread"
        if policy in self.refuse:
            raise PermissionError(1, "Operation not permitted")
        self.policy, self.priority = policy, parameter.sched_priority


@pytest.fixture
def system(monkeypatch):
    """``system(FakeLinux)``: that system, whose memory cannot be locked."""

    def use(fake):
        monkeypatch.setattr(scheduling, "os", fake)
        monkeypatch.setattr(scheduling, "lock_memory", lambda: "cannot allocate memory")
        monkeypatch.setattr(sys, "platform", "linux")
        return fake

    return use


def test_the_thread_runs_first_while_live_and_as_before_afterwards(system):
    fake = system(FakeLinux())
    with live_thread() as status:
        assert fake.policy == fake.SCHED_FIFO | fake.SCHED_RESET_ON_FORK and fake.priority == FIFO_PRIORITY
        assert status.line() == "real-time priority 50 (FIFO), memory not locked (cannot allocate memory)"
    assert (fake.policy, fake.priority) == (fake.SCHED_OTHER, 0)


def test_it_is_given_back_though_the_stream_fails(system):
    fake = system(FakeLinux())
    with pytest.raises(KeyError), live_thread():
        raise KeyError
    assert (fake.policy, fake.priority) == (fake.SCHED_OTHER, 0) and gc.isenabled()


def test_who_may_not_clear_the_flag_keeps_it_and_nothing_else(system):
    """sched(7): without CAP_SYS_NICE the reset-on-fork flag cannot be taken away again."""
    fake = system(FakeLinux(refuse=(FakeLinux.SCHED_OTHER,)))
    with live_thread():
        pass
    assert (fake.policy, fake.priority) == (fake.SCHED_RESET_ON_FORK, 0)


def test_a_refusal_is_a_sentence_with_the_way_out(system):
    system(FakeLinux(refuse=(FakeLinux.SCHED_FIFO | FakeLinux.SCHED_RESET_ON_FORK,)))
    with live_thread() as status:
        assert status.priority is None and "Operation not permitted" in status.refusal
        assert "rtprio" in status.refusal and "log in again" in status.refusal
        assert not gc.isenabled(), "the rest is done all the same"


@pytest.mark.parametrize("policy", [FakeLinux.SCHED_FIFO, FakeLinux.SCHED_RR, FakeLinux.SCHED_FIFO | FakeLinux.SCHED_RESET_ON_FORK])
def test_a_priority_that_somebody_chose_is_left_alone(system, policy):
    fake = system(FakeLinux(policy))
    with live_thread() as status:
        assert (fake.policy, fake.priority) == (policy, 7) and "7" in status.priority
    assert (fake.policy, fake.priority) == (policy, 7)


@pytest.mark.parametrize("options, asked", [({"live": False}, False), ({"priority": False}, False), ({}, True)])
def test_nothing_is_asked_for_a_file_or_where_nobody_wants_it(system, options, asked):
    fake = system(FakeLinux())
    with live_thread(**options) as status:
        assert (fake.policy != fake.SCHED_OTHER) == asked
        assert status.refusal == ""


def test_a_system_without_any_of_it_is_told(monkeypatch):
    monkeypatch.setattr(scheduling, "os", SimpleNamespace(strerror=os.strerror))
    monkeypatch.setattr(sys, "platform", "plan9")
    with live_thread() as status:
        assert "plan9" in status.refusal and status.memory_refusal == "not possible on plan9"
        assert "limits.d" not in status.refusal


def test_macos_is_asked_for_the_quality_of_service_of_interactive_work():
    asked = []
    system = SimpleNamespace(pthread_set_qos_class_self_np=lambda *a: asked.append(a) or 0)
    granted, undo = scheduling._interactive(system)
    undo()
    assert asked == [(0x21, 0), (0x15, 0)] and "interactive" in granted
    with pytest.raises(OSError):
        scheduling._interactive(SimpleNamespace(pthread_set_qos_class_self_np=lambda *a: 1))


class Function(SimpleNamespace):
    def __call__(self, *arguments):
        return self.does(*arguments)


def test_windows_is_asked_for_the_scheduler_of_professional_audio():
    calls = []
    ask = Function(does=lambda name, index: calls.append(name) or 77)
    avrt = SimpleNamespace(AvSetMmThreadCharacteristicsW=ask, AvRevertMmThreadCharacteristics=Function(does=calls.append))
    scheduling._pro_audio(avrt)[1]()
    assert calls == ["Pro Audio", 77] and ask.restype is ctypes.c_void_p
    ask.does = lambda *a: None
    with pytest.raises(OSError):
        scheduling._pro_audio(avrt)


# --- on this machine, as far as it grants it


@linux
def test_this_thread_alone_is_raised_and_what_it_starts_is_not():
    """Where the system refuses, the same with a thread that stays as it was."""
    seen = []
    with live_thread() as status:
        seen.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        child = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
        child.start()
        child.join()
    assert seen == [os.SCHED_FIFO if status.priority else os.SCHED_OTHER, os.SCHED_OTHER]
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER


def locked_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck"))


@linux
def test_memory_is_locked_for_the_session_and_no_longer():
    before = locked_kb()
    with live_thread() as status:
        assert status.memory_locked == (locked_kb() > before)
        assert status.memory_locked or status.memory_refusal
    assert locked_kb() == before


# --- Python's own pauses


def test_collection_and_switching_are_as_they_were_afterwards():
    before = sys.getswitchinterval()
    with live_thread(priority=False):
        assert not gc.isenabled() and gc.get_freeze_count() > 0
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert gc.isenabled() and gc.get_freeze_count() == 0 and sys.getswitchinterval() == before


def test_a_collector_that_rested_already_goes_on_resting():
    gc.disable()
    try:
        with live_thread(priority=False):
            assert gc.get_freeze_count() == 0
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_status_says_both_in_one_line():
    assert SchedulingStatus("real-time priority 50 (FIFO)", memory_locked=True).line() == "real-time priority 50 (FIFO), memory locked"
    assert SchedulingStatus(memory_refusal="no").line() == "normal priority, memory not locked (no)"
