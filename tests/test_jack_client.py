"""Joining the graph where the server takes its time."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack.client import JackClient
from rt_melody.realtime.signals import Stopped, stop_signals


class Refused(Exception):
    status = SimpleNamespace(version_error=False, server_failed=True, server_error=False)


def client(open_client) -> JackClient:
    module = SimpleNamespace(Client=open_client, JackOpenError=Refused, JackError=Refused)
    return JackClient(library=SimpleNamespace(module=module))


@pytest.mark.skipif(sys.platform == "win32", reason="no signal to a thread there")
def test_a_server_that_does_not_answer_holds_no_signal_up():
    release, asked = threading.Event(), threading.Event()

    def hangs(*_, **__):
        asked.set()
        release.wait(60)
        raise Refused

    def send():
        asked.wait()
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    threading.Thread(target=send).start()
    with stop_signals(), pytest.raises(Stopped):
        client(hangs).open()
    assert not release.is_set()
    release.set()


def test_a_server_that_refuses_is_a_sentence():
    def refuses(*_, **__):
        raise Refused("no server")

    with pytest.raises(DeviceError, match="no JACK server answers"):
        client(refuses).open()


def test_a_defect_shows_itself():
    with pytest.raises(ZeroDivisionError):
        client(lambda *_, **__: 1 / 0).open()
