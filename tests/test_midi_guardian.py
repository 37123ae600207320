"""The process that holds the MIDI port: what it passes on, and what it does when we are gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import mido
import pytest

from rt_melody.realtime import midi_bytes
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sinks import midi_guardian
from rt_melody.realtime.sinks.midi_guardian import Guarded, Sounding, pass_on

ON, OFF = midi_bytes.note_on(3, 60, 90), midi_bytes.note_off(3, 60)


class Port:
    def __init__(self, fails: bool = False) -> None:
        self.sent, self.fails = [], fails

    def send_message(self, message):
        if self.fails:
            raise OSError("unplugged")
        self.sent.append(bytes(message))


def passed(data: bytes, pieces: int = 1) -> list[bytes]:
    """What goes out of a pipe that brings ``data`` and ends."""
    port = Port()
    reader, writer = os.pipe()
    step = max(1, len(data) // pieces)
    pid = os.fork()
    if not pid:
        for start in range(0, len(data), step):
            os.write(writer, data[start : start + step])
            time.sleep(0.002)
        os._exit(0)
    os.close(writer)
    pass_on(port, reader, Sounding())
    os.waitpid(pid, 0)
    os.close(reader)
    return port.sent


def framed(*messages: bytes) -> bytes:
    return b"".join(bytes((len(m), *m)) for m in messages)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these tests fork")


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_messages_come_out_whole_however_the_pipe_cuts_them(pieces):
    messages = [ON, midi_bytes.pitch_bend(3, 9000), midi_bytes.channel_pressure(3, 64), OFF]
    assert passed(framed(*messages) + b"\0", pieces) == [*messages, *midi_bytes.silence(3)]


def test_where_the_pipe_breaks_off_amid_a_note_it_ends_by_its_number_and_the_channel_falls_silent():
    slurred = midi_bytes.note_on(3, 62, 90)
    ended = passed(framed(ON, slurred, OFF) + b"\x03\x92")  # half a message more
    assert ended[3:] == [midi_bytes.note_off(3, 62), *midi_bytes.silence(3)]


def test_a_note_on_of_velocity_0_ends_a_note():
    sounding = Sounding()
    sounding.see(ON)
    sounding.see(bytes((0x92, 60, 0)))
    assert sounding.ending() == list(midi_bytes.silence(3))


def test_a_port_that_fails_raises_what_it_raised():
    reader, writer = os.pipe()
    os.write(writer, framed(ON))
    os.close(writer)
    with pytest.raises(OSError, match="unplugged"):
        pass_on(Port(fails=True), reader, Sounding())


def test_of_a_program_that_is_being_ended_the_note_ends_before_the_pipe_does():
    """And what still came through is passed on and ended too."""
    late, (reader, writer) = midi_bytes.note_on(3, 62, 90), os.pipe()
    os.write(writer, framed(ON))

    class Slow(Port):
        def send_message(self, message):
            super().send_message(message)
            if self.sent == [ON, midi_bytes.note_off(3, 60), *midi_bytes.silence(3)]:
                os.write(writer, framed(late))
                os.close(writer)

    port = Slow()
    pass_on(port, reader, Sounding(), lambda: True)
    offs = midi_bytes.note_off(3, 60), midi_bytes.note_off(3, 62)
    assert port.sent == [ON, offs[0], *midi_bytes.silence(3), late, offs[1], *midi_bytes.silence(3)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_the_kernel_tells_that_a_process_is_being_ended():
    alive = midi_guardian.Parent()
    assert not alive.is_ending()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    alive._stat = os.open(f"/proc/{child.pid}/stat", os.O_RDONLY)
    assert not alive.is_ending()
    child.kill()
    assert eventually(alive.is_ending), "as soon as it is a zombie at the latest"
    child.wait()
    assert alive.is_ending()


# ---- with a child


@pytest.fixture
def fake_library(tmp_path, monkeypatch) -> Path:
    """In the child, opening a port gives one that writes what it is sent into a file; a name with "busy" is refused."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(f"""
        import rt_melody.realtime.sinks.midi_ports as ports
        from rt_melody.realtime.errors import DeviceError, SettingsError

        class Port:
            def __init__(self, name):
                self.name = name
                self.file = open({str(tmp_path / "sent")!r}, "ab", buffering=0)
            def send_message(self, message):
                self.file.write(bytes(message))
            def is_there(self):
                return "leaving" not in self.name
            def close_port(self):
                if "tough" in self.name:
                    import time
                    time.sleep(60)
            def await_taking(self, within_s): ...
            def delete(self): ...

        def open_midi_out(name=None, back_end=None):
            if back_end:
                raise SettingsError(f"MIDI back end {{back_end}} is unknown")
            if name and "busy" in name:
                raise DeviceError(f"{{name}} is held by another program")
            return Port(name or "rt-melody:out")

        ports.open_midi_out = open_midi_out
    """))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "sent"


def sent(path: Path) -> list[str]:
    return [str(message) for message in mido.parse_all(path.read_bytes())] if path.exists() else []


def eventually(true, within_s: float = 10.0) -> bool:
    end_s = time.monotonic() + within_s
    while not true() and time.monotonic() < end_s:
        time.sleep(0.01)
    return true()


def test_a_guarded_port_is_a_port(fake_library):
    port = Guarded(None)
    assert port.name == "rt-melody:out" and port.is_there()
    port.send_message(ON)
    port.send_message(OFF)
    port.close_port()
    port.delete()
    assert sent(fake_library)[:2] == ["note_on channel=2 note=60 velocity=90 time=0", "note_off channel=2 note=60 velocity=64 time=0"]


def test_a_port_that_cannot_be_opened_is_the_same_sentence_as_without_a_guardian(fake_library):
    with pytest.raises(DeviceError, match="busy synth is held by another program"):
        Guarded("busy synth")


def test_the_back_end_reaches_the_child_and_its_refusal_comes_back(fake_library):
    with pytest.raises(DeviceError, match="MIDI back end rtmidi2 is unknown"):
        Guarded(None, "rtmidi2")


def test_a_port_that_leaves_is_known_before_the_next_message(fake_library):
    port = Guarded("leaving synth")
    assert eventually(lambda: not port.is_there())
    with pytest.raises(OSError, match="left the list of ports"):
        port.send_message(ON)
    port.delete()


def test_a_guardian_that_is_killed_is_a_lost_port(fake_library):
    port = Guarded(None)
    port._child.kill()
    assert eventually(lambda: not port.is_there())
    with pytest.raises(OSError, match=midi_guardian.GONE):
        port.send_message(ON)
    port.delete()


def test_a_guardian_that_has_passed_all_on_is_not_waited_for_until_a_port_is_opened_again(fake_library, monkeypatch):
    """JACK's server takes seconds to let a client go that stood still."""
    monkeypatch.setattr(midi_guardian, "REOPEN_S", 0.05)
    port = Guarded("tough synth")
    port.send_message(ON)
    port.send_message(OFF)
    port.close_port()
    port.delete()
    assert port._child.poll() is None, "it leaves by itself"
    assert sent(fake_library)[:2] == ["note_on channel=2 note=60 velocity=90 time=0", "note_off channel=2 note=60 velocity=64 time=0"]
    after = Guarded("another synth")
    assert port._child.poll() is not None, "it would hold the name"
    after.close_port()
    after.delete()


def test_a_guardian_that_is_never_let_go_ends_by_itself():
    waiting = "import time; from rt_melody.realtime.sinks import midi_guardian as g; g._leave_within(1); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", waiting], timeout=50).returncode == -signal.SIGALRM


PLAYER = f"""
import sys, time
from rt_melody.realtime.sinks.midi_guardian import Guarded
port = Guarded(None)
port.send_message({ON!r})
print("sounding", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_ends_us_without_a_word_ends_the_note(fake_library, number):
    with subprocess.Popen([sys.executable, "-c", PLAYER], stdout=subprocess.PIPE, text=True, start_new_session=True) as player:
        assert player.stdout.readline() == "sounding\n"
        os.killpg(player.pid, number)  # the whole group, as a terminal or a service manager does
        player.wait()
    assert eventually(lambda: "note_off channel=2 note=60 velocity=64 time=0" in sent(fake_library))
