"""Choosing a MIDI output, on a stand-in for each back end's library that has the ports and systems a test gives it.

Nothing here needs more than the back ends: these tests run on every Python that the product admits.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from rt_melody.realtime import jack_watch
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import DeviceError, OutputError, SettingsError
from rt_melody.realtime.jack_watch import JackWatch
from rt_melody.realtime.sinks import midi_backends, midi_ports
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_backends import BACK_ENDS, load_back_end
from rt_melody.realtime.sinks.midi_backends.base import System
from rt_melody.realtime.sinks.midi_ports import list_midi_outputs, open_midi_out, silence_outputs

CORE, ALSA, JACK, WINDOWS, DUMMY = 1, 2, 3, 4, 5  # RtMidi's numbers
CONSTANTS = {"LINUX_ALSA": ALSA, "UNIX_JACK": JACK, "MACOSX_CORE": CORE, "WINDOWS_MM": WINDOWS, "RTMIDI_DUMMY": DUMMY}


def client_class(systems, error):
    """An output client. ``systems``: api -> list of its outputs; an api that is absent does not answer."""

    class Client:
        alive: ClassVar[list] = []

        def __init__(self, api, name):
            os.write(2, b"noise of a library\n")
            assert os.environ["JACK_NO_START_SERVER"] == "1"
            if api not in systems:
                raise error("no such system")
            self.api, self.name, self.opened, self.sent = api, name, None, []
            Client.alive.append(self)

        def get_ports(self):
            return list(systems[self.api])

        def open_port(self, index, name):
            if "busy" in self.get_ports()[index]:
                raise error("held by another program")
            self.opened, self.opened_at = self.get_ports()[index], index

        def open_virtual_port(self, name):
            self.opened = f"{self.name}:{name}"

        def send_message(self, message):
            self.sent.append(bytes(message))

        def close_port(self):
            self.opened = None

        def delete(self):
            Client.alive.remove(self)

    return Client


def fake_rtmidi(systems, compiled):
    constants = {f"API_{name}": number for name, number in CONSTANTS.items()}
    return SimpleNamespace(MidiOut=client_class(systems, OSError), get_compiled_api=lambda: list(compiled), **constants)


def fake_supriya(systems, compiled):
    class RtMidiError(Exception):
        pass

    return SimpleNamespace(
        MidiOut=client_class(systems, RtMidiError), get_compiled_apis=lambda: list(compiled), RtMidiError=RtMidiError,
        RtMidiAPI=SimpleNamespace(**CONSTANTS),
    )


FAKES = {"python-rtmidi": ("rtmidi", fake_rtmidi), "supriya-midi": ("supriya_midi", fake_supriya)}


@pytest.fixture(autouse=True)
def no_libraries(monkeypatch):
    """Neither the back ends nor the servers of this machine take part."""
    for module, _ in FAKES.values():
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(midi_backends, "load_libjack", lambda: None)
    monkeypatch.setattr(midi_ports, "watch_jack", lambda tries: None)


@pytest.fixture
def install(monkeypatch):
    """``install(name, systems)``: a back end is there; its clients that live."""

    def install(name, systems, compiled=(ALSA, JACK, DUMMY)):
        module, make = FAKES[name]
        library = make(systems, compiled)
        monkeypatch.setitem(sys.modules, module, library)
        return library.MidiOut.alive

    return install


@pytest.fixture(params=FAKES)
def use(request, install):
    return lambda systems, **kw: install(request.param, systems, **kw)


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


class Watch:
    """A stand-in for the client that hears when the JACK server ends."""

    gone = still = closed = False

    def stands_still(self):
        return self.gone or self.still

    def listeners(self, pattern):
        return ["synth:in"]

    def close(self):
        self.closed = True


@pytest.fixture
def watch(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(midi_ports, "watch_jack", lambda tries: watch)
    return watch


@pytest.mark.parametrize("wanted", [None, "synth"])
def test_a_jack_server_that_dies_is_told_before_the_library_waits_for_ever(use, wanted, watch):
    alive = use({JACK: ["synth:in"]})
    port = open_midi_out(wanted)
    port.send_message(b"\xe0\x00\x40")
    assert port.lost is None and port.is_there()
    watch.gone = True
    assert port.lost == "the JACK server is gone"
    with pytest.raises(OSError, match="JACK server is gone"):
        port.send_message(b"\xe0\x00\x40")
    with pytest.raises(OSError, match="JACK server is gone"):
        port.is_there()
    assert len(alive[0].sent) == 1
    port.close_port()
    port.delete()
    assert alive == [] and watch.closed


def test_a_jack_server_that_stands_still_takes_no_more(use, watch):
    alive = use({JACK: []})
    port = open_midi_out()
    watch.still = True
    with pytest.raises(OSError, match="JACK server stands still"):
        port.send_message(b"\xe0\x00\x40")
    assert port.lost is None and alive[0].sent == []


def test_a_server_that_dies_while_nobody_sings_ends_the_output_at_the_next_frame(use, watch):
    from test_sink_midi import frame

    use({JACK: []})
    sink = MidiSink(open_midi_out())
    sink.start(0.0)
    sink.frame(frame(None, 1))
    watch.gone = True
    with pytest.raises(OutputError, match="JACK server is gone"):
        sink.frame(frame(None, 2))
    sink.close()


def test_only_jack_is_watched(use, watch):
    use({ALSA: ["Synth"]})
    for wanted in (None, "synth"):
        port = open_midi_out(wanted)
        watch.gone = True
        assert port.lost is None and port.is_there()
        port.delete()


def test_who_listens_is_told_where_the_system_does(use, watch):
    systems = {JACK: ["synth:in"]}
    use(systems)
    assert open_midi_out().listeners() == ["synth:in"]
    named = open_midi_out("synth")
    assert named.listeners() == ["synth:in"]
    systems[JACK].clear()
    assert named.listeners() == []


def test_who_listens_is_not_known_of_alsa(use):
    use({ALSA: []})
    assert open_midi_out().listeners() is None


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
        ("piano", "'piano'; choose one of: Synth A; Synth B; jack:in"),
        ("synth", "'synth' fits 2 .*Synth A; Synth B"),
    ],
)
def test_a_name_that_fits_none_or_several_is_told_the_ports(use, wanted, said):
    alive = use({ALSA: ["Synth A", "Synth B"], JACK: ["jack:in", "Synth A"]})
    with pytest.raises(DeviceError, match=said):
        open_midi_out(wanted)
    assert alive == []


def test_a_name_where_there_is_no_port_is_told_the_way_out(use):
    use({ALSA: [], JACK: []})
    with pytest.raises(DeviceError, match="'piano'; there is none now; start what is to play"):
        open_midi_out("piano")


@pytest.mark.parametrize("words, silenced", [("", "ab"), ("--midi-out", "ab"), ("--midi-out b", "b"), ("a --midi-out b", "a")])
def test_a_panic_is_of_the_output_that_is_named(use, words, silenced, capsys):
    """Behind the option, or by --midi-out; others that sound are left alone."""
    use({ALSA: ["a", "b"]})
    assert main(["--panic", *words.split()]) == 0
    assert capsys.readouterr().out == "".join(f"silenced {name}\n" for name in silenced)


def test_a_midi_test_is_on_the_output_that_is_named(use, monkeypatch):
    use({ALSA: ["a", "b"]})
    heard = []
    monkeypatch.setattr("rt_melody.realtime.sinks.midi_test.midi_test", lambda port, *_, **__: heard.append(port.name))
    for words in ("", "--midi-out b", "a --midi-out b"):
        assert main(["--midi-test", *words.split()]) == 0
    assert heard == ["rt-melody:out", "b", "a"]


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


def test_a_system_without_virtual_ports_is_told_as_what_it_is_and_the_next_serves(monkeypatch):
    raw, alsa = System("RAW", "raw MIDI devices", has_virtual=False), System("LINUX_ALSA", "ALSA")
    made = client_class({"RAW": ["midiC1D0"], "LINUX_ALSA": []}, OSError)
    library = SimpleNamespace(name="raw-device", systems=(raw,), output=lambda system, name: made(system.constant, name))
    monkeypatch.setattr(midi_ports, "load_back_end", lambda name: library)
    sentence = "raw MIDI devices by the MIDI back end raw-device has no virtual ports.*--midi-back-end.*midiC1D0"
    with pytest.raises(DeviceError, match=sentence) as told:
        open_midi_out()
    assert "Windows" not in str(told.value) and made.alive == []
    library.systems = (raw, alsa)
    assert open_midi_out().name == "rt-melody:out" and [client.api for client in made.alive] == ["LINUX_ALSA"]


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


# --- which back end


def test_without_a_back_end_the_one_that_suits_this_python_is_named():
    suited = "python-rtmidi" if sys.version_info < (3, 13) else "supriya-midi"
    assert midi_backends.suited() == suited
    for ask in (open_midi_out, list_midi_outputs):
        with pytest.raises(DeviceError, match=f"MIDI ports need {suited}, which cannot be loaded .*pip install .*{suited}"):
            ask()


@pytest.mark.parametrize(
    ("version", "suited"),
    [((3, 10), "python-rtmidi"), ((3, 12), "python-rtmidi"), ((3, 13), "supriya-midi"), ((3, 15), "supriya-midi")],
)
def test_each_python_has_a_back_end(monkeypatch, version, suited):
    monkeypatch.setattr(midi_backends.sys, "version_info", (*version, 0))
    assert midi_backends.suited() == suited


def test_the_one_that_is_installed_is_used_and_the_first_of_both(install):
    supriya = install("supriya-midi", {ALSA: ["a"]})
    open_midi_out("a")
    assert len(supriya) == 1
    python = install("python-rtmidi", {ALSA: ["a"]})
    open_midi_out("a")
    assert (len(supriya), len(python)) == (1, 1)


def test_one_can_be_asked_for_by_name(install):
    alive = {name: install(name, {ALSA: ["a"]}) for name in FAKES}
    for name in FAKES:
        assert load_back_end(name).name == name
        open_midi_out("a", back_end=name)
        assert list_midi_outputs(back_end=name) == ["a"]
    assert {name: len(clients) for name, clients in alive.items()} == dict.fromkeys(FAKES, 1)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_one_that_is_asked_for_and_absent_is_one_sentence(install, name):
    other = next(other for other in BACK_ENDS if other != name)
    install(other, {ALSA: []})
    with pytest.raises(DeviceError, match=f"MIDI ports need {name}, which cannot be loaded.*give another: {other}$"):
        open_midi_out(back_end=name)


def test_one_that_is_unknown_is_told_the_names():
    with pytest.raises(SettingsError, match="'rtmidi2' is unknown; use one of python-rtmidi, supriya-midi"):
        load_back_end("rtmidi2")


@pytest.mark.parametrize("words", ["--panic a", "--midi-test a", "--midi-out a --input demo", "--midi-out a --no-midi-guardian"])
def test_the_setting_reaches_whatever_opens_a_port(capsys, words):
    assert main([*words.split(), "--midi-back-end", "rtmidi2"]) == 2
    said = capsys.readouterr().err
    assert "MIDI back end 'rtmidi2' is unknown; use one of python-rtmidi, supriya-midi" in said and said.count("\n") == 1


@pytest.mark.parametrize("name", FAKES)
def test_the_setting_chooses_among_those_that_are_there(install, name, capsys):
    alive = {each: install(each, {ALSA: [f"of {each}"]}) for each in FAKES}
    assert main(["--panic", "--midi-back-end", name]) == 0
    assert capsys.readouterr().out == f"silenced of {name}\n" and not any(alive.values())


@pytest.mark.parametrize("name", BACK_ENDS)
def test_a_build_that_holds_its_dummy_alone_is_told_with_the_packages(install, name):
    install(name, {DUMMY: []}, compiled=(DUMMY,))
    packages = "libasound2-dev.*alsa-lib-devel.*Arch: alsa-lib"
    with pytest.raises(DeviceError, match=f"{name}, which .*dummy.*{packages}.*--no-binary {name} {name}"):
        open_midi_out(back_end=name)


def test_a_dummy_build_gives_way_to_a_back_end_that_works(install):
    install("python-rtmidi", {DUMMY: []}, compiled=(DUMMY,))
    install("supriya-midi", {ALSA: ["a"]})
    assert open_midi_out("a").name == "a"


# --- libjack


@pytest.mark.parametrize(("path", "chosen"), [(None, "libjack.so.0"), ("/usr/lib/pw/libjack.so.0", "/usr/lib/pw/libjack.so.0")])
def test_the_libjack_of_the_server_that_runs_is_loaded_for_all_once(monkeypatch, path, chosen):
    loaded = []
    monkeypatch.setattr(jack_watch, "_loaded", None)
    monkeypatch.setattr(jack_watch, "library_path", lambda: path)
    monkeypatch.setattr(jack_watch.ctypes, "CDLL", lambda name, mode: loaded.append((name, mode)) or object())
    monkeypatch.setattr(jack_watch, "_declared", lambda library: library)
    monkeypatch.setattr(jack_watch.sys, "platform", "linux")
    assert jack_watch.load_libjack() is jack_watch.load_libjack() is not None
    assert loaded == [(chosen, jack_watch.ctypes.RTLD_GLOBAL)]


def test_without_a_libjack_nobody_watches(monkeypatch):
    def missing(name, mode):
        raise OSError("no such library")

    monkeypatch.setattr(jack_watch, "_loaded", None)
    monkeypatch.setattr(jack_watch.ctypes, "CDLL", missing)
    assert jack_watch.load_libjack() is None and jack_watch.watch_jack() is None


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


def test_a_busy_server_is_asked_to_be_let_in_again(monkeypatch):
    class Library:
        _handle = None

        def __init__(self, refusals: int) -> None:
            self.left = refusals

        def jack_client_open(self, name, options, status):
            self.left -= 1
            return 0 if self.left >= 0 else 7

    paused = []
    monkeypatch.setattr(jack_watch.time, "sleep", paused.append)
    monkeypatch.setattr(jack_watch, "JackWatch", lambda library, client: client)
    for refusals, tries, wanted in ((0, 1, 7), (1, 1, None), (2, 3, 7), (3, 3, None)):
        library = Library(refusals)
        monkeypatch.setattr(jack_watch, "load_libjack", lambda library=library: library)
        assert jack_watch.watch_jack(tries) == wanted
    assert len(paused) == 4


def test_some_cycles_of_the_server_are_waited_for_or_its_end():
    watch, frames = JackWatch.__new__(JackWatch), iter([7, 7, 8, 9, 9, 10])
    watch.gone, watch._client, watch._clock = False, 1, lambda client: next(frames)
    watch.await_cycle(60.0)
    assert next(frames, None) is None
    watch.gone, watch._clock = True, lambda client: 10
    watch.await_cycle(60.0)
