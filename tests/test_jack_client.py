"""Joining the graph where the server takes its time."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack import process
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


class Connected:
    """A port of the graph, or of ours: all of them connected."""

    def __init__(self, name: str = "rt-melody:in"):
        self.name = name

    def is_connected_to(self, other: object) -> bool:
        return True


@pytest.fixture
def joined(request):
    """A client that listens to the singer's port and plays on the synthesiser's: (it, what is there, what it told)."""
    told: list[str] = []
    made = JackClient(sinks=["synth"], tell=told.append, library=SimpleNamespace(), reconnect=request.param)
    audio, midi = [Connected("singer:out")], [Connected("synth:in")]
    graph = SimpleNamespace(get_ports=lambda is_audio=False, **_: audio if is_audio else midi)
    made._sources, made._inputs, made._output, made._client = ["singer:out"], [Connected()], Connected(), graph
    made._played_on, made.wakeup = {"synth:in"}, SimpleNamespace(notify=lambda: None)
    made._known.update(["singer:out", "synth:in"])
    made._holders = {"sound"}
    yield made, audio, midi, told


@pytest.mark.parametrize("joined", [True], indirect=True)
def test_a_source_that_leaves_is_told_at_once_and_waited_for(joined):
    client, audio, _, told = joined
    audio.clear()
    client._connect(client._client)
    assert told == ["singer:out left the JACK graph; the music goes on once it is back"] and client.lost == ""


@pytest.mark.parametrize("joined", [True], indirect=True)
@pytest.mark.parametrize("which", ["singer:out", "speaker:in"])
def test_what_is_heard_or_played_on_and_comes_back_is_counted_once(joined, which):
    client, audio, _, told = joined
    client._speakers, client._library = ["speaker:in"], SimpleNamespace(module=SimpleNamespace(JackError=Refused))
    client._known.add("speaker:in")
    audio.append(Connected("speaker:in"))
    (gone,) = (port for port in audio if port.name == which)
    audio.remove(gone)
    client._connect_anew()
    assert client.links == 0
    audio.append(gone)
    for _ in range(2):
        client._connect_anew()
    assert client.links == 1 and told[-1] == f"{which} is back in the JACK graph"


@pytest.mark.parametrize("joined", [False], indirect=True)
def test_without_reconnect_a_source_that_leaves_is_lost_and_a_named_output_is_waited_for(joined):
    client, audio, midi, told = joined
    midi.clear()
    client._connect(client._client)
    assert told == ["synth:in left the JACK graph; the music goes on once it is back"] and client.lost == ""
    audio.clear()
    client._connect(client._client)
    assert client.lost == "singer:out left the JACK graph" and len(told) == 1 and not client.away


@pytest.mark.parametrize("joined", [False], indirect=True)
def test_without_reconnect_a_server_that_goes_is_lost(joined):
    client, _, _, told = joined
    client.exchange = {process.CYCLES: 1}
    client._on_shutdown(None, "the end")
    client._watch()
    assert client.lost == "the JACK server is gone" and client.away and told == []


@pytest.mark.parametrize("cycle_us, sounds, done", [(900_000, False, "dismiss"), (900_000, True, "take_over"), (0, False, "take_over")])
@pytest.mark.parametrize("joined", [True], indirect=True)
def test_what_a_graph_has_not_sent_is_left_to_whoever_stands_by_and_one_that_stands_still_is_not_waited_for(joined, cycle_us, sounds, done):
    class Memory(dict):
        notes_sound = sounds

    client, _, _, _ = joined
    called, release = [], threading.Event()
    client._guardian = SimpleNamespace(take_over=lambda: called.append("take_over"), dismiss=lambda: called.append("dismiss"))
    client.exchange, client.joined = Memory({process.CYCLE_US: cycle_us}), True
    client._library = SimpleNamespace(time_us=lambda: 1_000_000)
    client._client.close = lambda: None if cycle_us else release.wait(60)  # which answers nobody
    client._watcher, client.wakeup = threading.Thread(), SimpleNamespace(close=lambda: called.append("closed"))
    client._watcher.start()
    client.close()
    assert called == [done, "closed"]
    release.set()
