"""Choosing a MIDI output, on an rtmidi of ten lines that has the ports and systems a test gives it."""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace

import pytest

from rt_melody.realtime.sinks import midi_ports
from rt_melody.realtime.sinks.midi_ports import CHECK_EVERY, UNHEARD_MOST, list_midi_outputs, open_midi_out, silence_outputs
from rt_melody.realtime.errors import DeviceError

ALSA, CORE, JACK, WINDOWS, DUMMY = 2, 1, 3, 4, 5


def fake_rtmidi(systems, compiled=(ALSA, JACK, DUMMY), broken=()):
    """``systems``: api -> list of its outputs; an api that is absent does not answer."""

    class Client:
        """Sends, or as ``Listener`` hears what a client called rt-melody sends."""

        alive = []

        def __init__(self, api, name, queue_size_limit=1024):
            os.write(2, b"noise of a library\n")
            assert os.environ["JACK_NO_START_SERVER"] == "1"
            if api not in systems:
                raise OSError("no such system")
            self.api, self.name, self.opened, self.sent, self.heard = api, name, None, [], []
            Client.alive.append(self)

        def get_ports(self):
            return list(systems[self.api])

        def open_port(self, index, name):
            if "busy" in self.get_ports()[index]:
                raise OSError("held by another program")
            self.opened, self.opened_at = self.get_ports()[index], index

        def open_virtual_port(self, name):
            self.opened = f"{self.name}:{name}"

        def send_message(self, message):
            self.sent.append(message)
            for client in Client.alive:
                if client.opened == f"{self.name}:out" and not broken:
                    client.heard.append(message)

        def close_port(self):
            self.opened = None

        def delete(self):
            Client.alive.remove(self)

    class Listener(Client):
        def get_ports(self):
            return [f"{c.name}:out" for c in Client.alive if c.opened and not isinstance(c, Listener)]

        def get_message(self):
            return self.heard.pop(0) if self.heard else None

    return SimpleNamespace(
        MidiOut=Client, MidiIn=Listener, get_compiled_api=lambda: list(compiled),
        API_LINUX_ALSA=ALSA, API_UNIX_JACK=JACK, API_MACOSX_CORE=CORE, API_WINDOWS_MM=WINDOWS,
    )  # fmt: skip


@pytest.fixture
def use(monkeypatch):
    def install(systems, **kw):
        module = fake_rtmidi(systems, **kw)
        monkeypatch.setitem(sys.modules, "rtmidi", module)
        return module.MidiOut.alive

    return install


def test_alsa_comes_before_jack(use):
    alive = use({ALSA: [], JACK: []})
    port = open_midi_out()
    assert [(c.api, c.opened) for c in alive] == [(ALSA, "rt-melody:out")]
    port.close_port()
    port.delete()
    assert alive == []


def test_jack_serves_where_alsa_has_no_sequencer(use):
    alive = use({JACK: ["synth:in"]})
    port = open_midi_out()
    assert port.name == "rt-melody:out"
    assert {c.api for c in alive} == {JACK}
    port.delete()
    assert alive == []


def test_messages_reach_the_port(use):
    alive = use({ALSA: ["Synth"]})
    port = open_midi_out("synth")
    port.send_message(b"\x90\x3c\x40")
    assert alive[0].sent == [b"\x90\x3c\x40"] and alive[0].opened == "Synth"


@pytest.mark.parametrize("wanted", [None, "synth"])
def test_a_jack_server_that_dies_is_noticed_before_rtmidi_waits_for_ever(use, wanted, monkeypatch):
    """Its lists of ports go on as they were; only the echo of our own port stops."""
    monkeypatch.setattr(midi_ports, "LISTEN_S", 0.02)
    broken = []
    alive = use({JACK: ["synth:in"]}, broken=broken)
    port = open_midi_out(wanted)
    for _ in range(3 * UNHEARD_MOST):
        port.send_message(b"\xe0\x00\x40")
    broken.append("server")
    with pytest.raises(OSError, match="JACK server is gone"):
        for i in range(UNHEARD_MOST + 3 * CHECK_EVERY):
            port.send_message(b"\xe0\x00\x40")
            if i == UNHEARD_MOST + 2 * CHECK_EVERY:
                time.sleep(0.03)  # its buffer is full a second after the server has gone
    port.close_port()
    port.delete()
    assert alive == []


@pytest.mark.parametrize("api", [ALSA, JACK])
def test_a_port_that_leaves_the_list_is_not_there(use, api):
    systems = {api: ["synth:in"]}
    use(systems)
    port = open_midi_out("synth")
    assert port.is_there()
    systems[api].clear()
    assert not port.is_there()


def test_on_windows_another_device_that_leaves_does_not_take_this_one_along(use, monkeypatch):
    """RtMidi numbers names there: "loopMIDI Port 2" is "loopMIDI Port 1" once a device before it is unplugged."""
    systems = {WINDOWS: ["Microsoft GS Wavetable Synth 0", "Keyboard 1", "loopMIDI Port 2"]}
    use(systems, compiled=(WINDOWS,))
    port = open_midi_out("loopMIDI")
    systems[WINDOWS][1:] = ["loopMIDI Port 1"]
    assert not port.is_there()
    monkeypatch.setattr(midi_ports.sys, "platform", "win32")
    assert port.is_there()
    systems[WINDOWS].pop()
    assert not port.is_there()
    port.close_port()
    port.delete()


def test_a_port_of_our_own_is_always_there(use):
    """It is no entry of the list of outputs, which are other programs' inputs."""
    use({ALSA: ["synth:in"]})
    assert open_midi_out().is_there()


def test_the_watching_client_is_no_output_to_be_chosen(use):
    use({JACK: ["rt-melody-watch:in", "synth:in"]})
    assert list_midi_outputs() == ["synth:in"]


@pytest.mark.parametrize(
    ("wanted", "opened"),
    [("fluid", "FLUID Synth:1"), ("MIDI THROUGH", "Midi Through"), ("b", "B"), ("other", "other:in")],
)
def test_a_name_is_found_whatever_its_case(use, wanted, opened):
    alive = use({ALSA: ["Midi Through", "FLUID Synth:1", "B", "BB"], JACK: ["other:in", "Midi Through"]})
    assert open_midi_out(wanted).name == opened
    assert [c.opened for c in alive if c.name == "rt-melody"] == [opened]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("piano", "'piano'.*Synth A; Synth B; jack:in"),
        ("synth", "'synth' fits 2 .*Synth A; Synth B"),
    ],
)
def test_a_name_that_fits_none_or_several_is_told_the_ports(use, wanted, said):
    alive = use({ALSA: ["Synth A", "Synth B"], JACK: ["jack:in", "Synth A"]})
    with pytest.raises(DeviceError, match=said):
        open_midi_out(wanted)
    assert alive == []


def test_a_busy_port_is_told(use):
    alive = use({WINDOWS: ["busy port"]}, compiled=(WINDOWS,))
    with pytest.raises(DeviceError, match="cannot open the MIDI output 'busy port' .held by another program"):
        open_midi_out("busy")
    assert alive == []


def test_windows_is_told_of_loopmidi(use):
    alive = use({WINDOWS: ["Microsoft GS Wavetable Synth 0"]}, compiled=(WINDOWS,))
    with pytest.raises(DeviceError, match="loopMIDI.*Microsoft GS Wavetable Synth 0"):
        open_midi_out()
    assert alive == []


@pytest.mark.parametrize("wanted", [None, "synth"])
def test_no_system_at_all_is_told_what_to_do(use, wanted):
    use({})
    with pytest.raises(DeviceError, match=r"no MIDI system .*ALSA, JACK.*--midi-file"):
        open_midi_out(wanted)


def test_outputs_are_listed_once_each_and_clients_freed(use):
    alive = use({ALSA: ["a", "b"], JACK: ["b", "c"]})
    assert list_midi_outputs() == ["a", "b", "c"]
    assert alive == []
    use({})
    with pytest.raises(DeviceError, match="no MIDI system answers here"):
        list_midi_outputs()


def test_an_output_that_is_busy_keeps_no_other_sounding(use):
    alive = use({ALSA: ["busy one", "synth"]})
    with pytest.raises(DeviceError, match=r"busy one.*\(silenced: synth\)"):
        silence_outputs(["busy one", "synth"])
    assert alive == []
    assert silence_outputs(["synth"]) == ["synth"]


def test_without_the_library_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    with pytest.raises(DeviceError, match="pip install python-rtmidi"):
        open_midi_out()
    with pytest.raises(DeviceError, match="pip install python-rtmidi"):
        list_midi_outputs()


def test_the_libraries_noise_is_kept_away_and_the_environment_left_alone(use, capfd, monkeypatch):
    monkeypatch.delenv("JACK_NO_START_SERVER", raising=False)
    use({ALSA: []})
    open_midi_out().delete()
    os.write(2, b"ours\n")
    assert capfd.readouterr().err == "ours\n"
    assert "JACK_NO_START_SERVER" not in os.environ


def test_two_outputs_of_one_name_are_told_apart(use):
    alive = use({ALSA: ["USB MIDI", "USB MIDI", "synth"]})
    assert list_midi_outputs() == ["USB MIDI", "USB MIDI#2", "synth"]
    for name, number in (("usb midi", 0), ("USB MIDI#2", 1)):
        port = open_midi_out(name)
        assert port.name.lower() == name.lower() and alive[-1].opened_at == number and port.is_there()
        port.delete()
    assert silence_outputs(["USB MIDI", "USB MIDI#2"]) == ["USB MIDI", "USB MIDI#2"]
