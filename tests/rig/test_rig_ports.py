"""Each back end that is installed, on a real JACK server: what is sent arrives, and a server that ends is noticed.

Needs no model: these tests run on every Python that the product admits.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec

import pytest

from rt_melody.benchmarks.rig.studio import Talker, wait_until
from rt_melody.realtime.sinks.midi_backends import BACK_ENDS

MODULES = {"python-rtmidi": "rtmidi", "supriya-midi": "supriya_midi"}
INSTALLED = [name for name in BACK_ENDS if find_spec(MODULES[name])]

# Opens a port of its own and does what each line of stdin says.
PLAYER = """
import json, sys, time
from rt_melody.realtime.sinks.midi_ports import list_midi_outputs, open_midi_out

def say(**what):
    print(json.dumps(what), flush=True)

port = open_midi_out(None, sys.argv[1])
say(state="open", outputs=list_midi_outputs(sys.argv[1]))
for line in sys.stdin:
    if line == "listeners\\n":
        say(state="listeners", names=port.listeners())
    elif line == "notes\\n":
        for note in range(30, 90):
            for message in (bytes([0x90, note, 100]), bytes([0xE0, note, 64]), bytes([0x80, note, 0])):
                port.send_message(message)
            time.sleep(0.005)
        say(state="sent")
    elif line == "silence\\n":
        while port.lost is None:
            time.sleep(0.01)
        say(state="lost", why=port.lost)
    elif line == "storm\\n":
        try:
            for i in range(20000):
                port.send_message(bytes([0xE0, i & 127, 64]))
        except OSError as error:
            say(state="refused", why=str(error), after=i)
port.close_port()
port.delete()
"""


@pytest.fixture(params=BACK_ENDS)
def player(request, children, tmp_path):
    """``player(server)``: a port of its own, in a process of its own."""
    if request.param not in INSTALLED:
        pytest.skip(f"{request.param} is not installed for this Python")

    def start(server) -> Talker:
        script = tmp_path / "player.py"
        script.write_text(PLAYER)
        children.append(Talker([sys.executable, str(script), request.param], {**os.environ, **server.env}))
        children[-1].opened = children[-1].expect("open", 30)
        return children[-1]

    return start


def test_a_back_end_is_there_for_this_python():
    assert INSTALLED


def test_every_message_arrives_in_order_and_who_listens_is_known(jack_server, recorder, player):
    playing, listener = player(jack_server), recorder(jack_server)
    listener.wait_for_source()
    playing.tell("listeners")
    assert playing.expect("listeners", 10)["names"] == ["recorder:in"]
    playing.tell("notes")
    playing.expect("sent", 30)
    wait_until(lambda: len(listener.messages) >= 180, 5, "the last message")
    expected = [m for note in range(30, 90) for m in (bytes([0x90, note, 100]), bytes([0xE0, note, 64]), bytes([0x80, note, 0]))]
    assert [message for _, message in listener.messages] == expected


def test_a_server_that_ends_is_noticed_though_nobody_sends(mortal_jack_server, player):
    playing = player(mortal_jack_server)
    playing.tell("silence")
    mortal_jack_server.kill()
    assert "JACK server is gone" in playing.expect("lost", 10)["why"]


def test_a_server_that_stands_still_makes_nobody_wait(mortal_jack_server, player):
    playing = player(mortal_jack_server)
    mortal_jack_server.process.send_signal(signal.SIGSTOP)
    try:
        playing.tell("storm")
        refused = playing.expect("refused", 30)
    finally:
        mortal_jack_server.process.send_signal(signal.SIGCONT)
    assert "stands still" in refused["why"] and 1000 < refused["after"] < 2200


# Plays on the port of another program, and says what it is told of it.
FOLLOWER = """
import json, sys, time
from rt_melody.realtime.sinks.midi_ports import open_midi_out
from rt_melody.realtime.sinks.midi_reconnect import ReconnectingPort

def say(**what):
    print(json.dumps(what), flush=True)

def tell(told):
    say(state="lost" if "is lost" in told else "back", told=told)

port = ReconnectingPort(lambda: open_midi_out("recorder", sys.argv[1]), tell)
say(state="open")
for line in sys.stdin:
    port.send_message(bytes([0x90, 60, 100]))
port.close_port()
port.delete()
"""


@pytest.mark.parametrize("back_end", INSTALLED)
def test_a_server_that_comes_back_is_played_on(mortal_jack_server, recorder, children, tmp_path, back_end):
    """Its end is told though nobody sends, and the port is found again on the server that is back."""
    first = recorder(mortal_jack_server, "nobody:out")
    script = tmp_path / "follower.py"
    script.write_text(FOLLOWER)
    follower = Talker([sys.executable, str(script), back_end], {**os.environ, **mortal_jack_server.env})
    children.append(follower)
    follower.expect("open", 30)
    mortal_jack_server.kill()
    first.kill()
    assert "JACK server is gone" in follower.expect("lost", 10)["told"]
    mortal_jack_server.start_again()
    second = recorder(mortal_jack_server, "nobody:out")
    follower.expect("back", 20)
    follower.tell("note")
    wait_until(lambda: second.messages, 5, "a note on the server that is back")
    assert [message for _, message in second.messages] == [bytes([0x90, 60, 100])]
