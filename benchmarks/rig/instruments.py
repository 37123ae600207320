"""The synthesisers of a Debian machine, without a screen: each given a score of MIDI messages gives its sound.

Conventions
-----------
* A score is ``[(seconds, message)]``, ascending; sound is mono float32 at ``SAMPLE_RATE``, from second 0 of the score on.
* Most play on a private JACK server, one after the other, by their own factory patch; of those whose detuned oscillators
  beat or whose filter moves at every note, so that their sound has no one pitch, one oscillator and an open filter.
* TiMidity++ and Csound, whose real-time MIDI wants a sequencer that containers lack, read a MIDI file; hexter is loaded
  as the DSSI plug-in it is.
* What is not installed raises RigMissing with Debian's package.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mido
import numpy as np
import soundfile

from rt_melody.benchmarks.rig.studio import HERE, SAMPLE_RATE, JackServer, RigMissing, Talker, tied, wait_until

Score = list[tuple[float, bytes]]
TICKS_PER_S = 1000
SETTLE_S = 1.5  # after its ports are there, a synthesiser is still loading its patch
CLARINET = 71  # of General MIDI, counted from 0: its samples are steady to half a cent

CSOUND_INSTRUMENT = """<CsoundSynthesizer>
<CsOptions>
</CsOptions>
<CsInstruments>
sr = 48000
ksmps = 16
nchnls = 1
0dbfs = 1
massign 0, 1
instr 1
  kcps cpsmidib 2
  kenv linsegr 0, .01, .3, .05, 0
  asig vco2 kenv, kcps
  out asig
endin
</CsInstruments>
<CsScore>
f 0 {seconds}
e
</CsScore>
</CsoundSynthesizer>
"""


class Instrument(Protocol):
    def play(self, score: Score, seconds: float) -> np.ndarray: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class OnJack:
    """A program that is a JACK client: its command, its MIDI input and one of its audio outputs."""

    package: str
    command: tuple[str, ...]
    midi: str
    audio: str
    setup: tuple[bytes, ...] = ()  # messages before everything else

    def start(self, server: JackServer) -> Instrument:
        return Hosted(self, server)


@dataclass(frozen=True)
class OnFile:
    """A program that renders a MIDI file. ``{midi}``, ``{wav}`` and ``{csd}`` stand for files."""

    package: str
    command: tuple[str, ...]
    setup: tuple[bytes, ...] = ()

    def start(self, server: JackServer) -> Instrument:
        return Rendered(self)


@dataclass(frozen=True)
class OnDssi:
    """A DSSI plug-in, by the name of its library."""

    package: str
    library: str
    setup: tuple[bytes, ...] = ()

    def start(self, server: JackServer) -> Instrument:
        return Plugged(self)


def plugin(package: str, uri: str, midi: str, audio: str, *controls: str) -> OnJack:
    """An LV2 plug-in in jalv, with these of its controls set (NAME=VALUE)."""
    set_controls = (part for control in controls for part in ("-c", control))
    return OnJack(package, ("jalv", "-n", "synth", *set_controls, uri), f"synth:{midi}", f"synth:{audio}")


PROGRAMS = tuple(bytes([0xC0 | channel, CLARINET]) for channel in range(16) if channel != 9)
SOUND_FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"

INSTRUMENTS: dict[str, OnJack | OnFile | OnDssi] = {
    "zynaddsubfx": OnJack("zynaddsubfx", ("zynaddsubfx", "-U", "-I", "jack", "-O", "jack"), "zynaddsubfx:midi_input", "zynaddsubfx:out_1"),
    "yoshimi": OnJack("yoshimi", ("yoshimi", "-i", "-c", "-j", "-J"), "yoshimi:midi in", "yoshimi:left"),
    "amsynth": OnJack("amsynth", ("amsynth", "-x", "-m", "jack", "-a", "jack"), "amsynth:midi_in", "amsynth:L out"),
    "synthv1": plugin(
        "synthv1-lv2", "http://synthv1.sourceforge.net/lv2", "in", "Out_L", "DCO1_DETUNE=0", "OUT2_VOLUME=0", "DCF1_ENABLED=0",
    ),
    "padthv1": plugin(
        "padthv1-lv2", "http://padthv1.sourceforge.net/lv2", "in", "Out_L",
        "GEN1_DETUNE1=0", "GEN1_DETUNE2=0", "GEN1_WIDTH1=1", "GEN1_WIDTH2=1", "DCF1_ENABLED=0",
    ),
    "setbfree": OnJack("setbfree", ("setBfree",), "setBfree:midi_in", "setBfree:out_left"),
    "hexter": OnDssi("hexter", "hexter.so"),
    "fluidsynth": OnJack(
        "fluidsynth",
        ("fluidsynth", "-q", "-R", "0", "-C", "0", "-r", "48000", "-a", "jack", "-m", "jack", "-o", "midi.jack.id=fluid",
         "-o", "audio.jack.id=fluid", SOUND_FONT),
        "fluid:midi_00", "fluid:left", PROGRAMS,
    ),
    "mda-epiano": plugin("mda-lv2", "http://drobilla.net/plugins/mda/EPiano", "event_in", "left_out"),
    "mda-jx10": plugin(
        "mda-lv2", "http://drobilla.net/plugins/mda/JX10", "event_in", "left_out", "osc_mix=0", "vcf_env=0.5", "vibrato=0.5",
    ),
    "mda-dx10": plugin("mda-lv2", "http://drobilla.net/plugins/mda/DX10", "event_in", "left_out"),
    "calf": plugin(
        "calf-plugins", "http://calf.sourceforge.net/plugins/Monosynth", "midi_in", "out_l", "o12_mix=0", "env2cutoff=0", "cutoff=8000",
    ),
    "timidity": OnFile("timidity", ("timidity", "-s", "48000", "-EFreverb=0", "-Ow", "-o", "{wav}", "{midi}"), PROGRAMS),
    "csound": OnFile("csound", ("csound", "-d", "-W", "-f", "-o", "{wav}", "-F", "{midi}", "{csd}")),
}


def version_of(name: str) -> str:
    """Debian's version of the synthesiser's package; empty where that is not known."""
    if not shutil.which("dpkg-query"):
        return ""
    asked = ["dpkg-query", "-W", "-f", "${Version}", INSTRUMENTS[name].package]
    return subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.partition("-")[0].partition("+")[0].rpartition(":")[2]


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        raise RigMissing(f"`{program}` is not installed (Debian: apt-get install {package})")


class Hosted:
    """A synthesiser that plays on the server, and the client that plays it."""

    def __init__(self, what: OnJack, server: JackServer) -> None:
        _need(what.command[0], what.package)
        self._what = what
        self._folder = tempfile.TemporaryDirectory()
        env = {**os.environ, **server.env, "HOME": self._folder.name, "QT_QPA_PLATFORM": "offscreen"}
        with open(Path(self._folder.name) / "log.txt", "wb") as log:
            self._process = subprocess.Popen(  # several leave at the end of their standard input
                tied(what.command), env=env, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._folder.name,
                start_new_session=True,
            )
        try:
            wait_until(lambda: self._is_there(server), 60, f"{what.command[0]}'s ports on the server")
            self._player = Talker([sys.executable, str(HERE / "jack_take.py"), what.midi, what.audio], server.env)
            self._player.expect("ready", 20)
        except BaseException:
            self._end()
            raise
        self.play([(SETTLE_S / 2 + 0.01 * i, message) for i, message in enumerate(what.setup)], SETTLE_S)

    def _is_there(self, server: JackServer) -> bool:
        log = (Path(self._folder.name) / "log.txt").read_text(errors="replace")
        if self._process.poll() is not None:
            raise RigMissing(f"{self._what.command[0]} ends at once here; it says: {' '.join(log.split())[-300:]}")
        names = server.ports()
        return self._what.midi in names and self._what.audio in names

    def play(self, score: Score, seconds: float) -> np.ndarray:
        score_path, sound_path = Path(self._folder.name) / "score.jsonl", Path(self._folder.name) / "sound.npy"
        score_path.write_text("".join(json.dumps([at_s, message.hex()]) + "\n" for at_s, message in score))
        self._player.tell(f"{score_path} {seconds} {sound_path}")
        self._player.expect("taken", seconds + 30)
        return np.load(sound_path)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._folder.cleanup()

    def close(self) -> None:
        self._player.close()
        self._end()


def write_midi(score: Score, path: Path) -> None:
    """A MIDI file of the messages, a tick a millisecond."""
    track, ticks = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)]), 0
    for at_s, data in score:
        now = max(ticks, round(at_s * TICKS_PER_S))
        track.append(mido.Message.from_bytes(data, time=now - ticks))
        ticks = now
    mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2, tracks=[track]).save(path)


class Rendered:
    """A program that makes sound of a file. It may leave out what is silent before the first note: one that is hardly heard
    is put at 0."""

    def __init__(self, what: OnFile) -> None:
        _need(what.command[0], what.package)
        self._what = what

    def play(self, score: Score, seconds: float) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            midi, wav, csd = (Path(folder) / name for name in ("score.mid", "sound.wav", "instrument.csd"))
            csd.write_text(CSOUND_INSTRUMENT.format(seconds=seconds))
            silent = bytes([0xB0, 123, 0])
            begun = [*self._what.setup, bytes([0x9F, 127, 1]), bytes([0x8F, 127, 0])]
            write_midi([*((0.0, message) for message in begun), *score, (seconds, silent)], midi)
            command = [part.format(midi=midi, wav=wav, csd=csd) for part in self._what.command]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if not wav.exists():
                raise RigMissing(f"{command[0]} renders nothing here: {(done.stdout + done.stderr)[-300:]}")
            sound, rate = soundfile.read(wav, dtype="float32", always_2d=True)
        assert rate == SAMPLE_RATE, f"{command[0]} gives {rate} Hz"
        return np.pad(sound.mean(axis=1), (0, max(0, round(seconds * rate) - len(sound))))[: round(seconds * rate)]

    def close(self) -> None: ...


class Plugged:
    """A DSSI plug-in that we run ourselves, in a process of its own for each score."""

    def __init__(self, what: OnDssi) -> None:
        places = (Path(root) / what.library for root in ("/usr/lib/dssi", "/usr/local/lib/dssi"))
        self._library = next((path for path in places if path.exists()), None)
        if self._library is None:
            raise RigMissing(f"{what.library} is not installed (Debian: apt-get install {what.package})")

    def play(self, score: Score, seconds: float) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            score_path, sound_path = Path(folder) / "score.jsonl", Path(folder) / "sound.npy"
            score_path.write_text("".join(json.dumps([at_s, message.hex()]) + "\n" for at_s, message in score))
            command = [sys.executable, str(HERE / "dssi_host.py"), str(self._library), str(score_path), f"{seconds}", str(sound_path)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if not sound_path.exists():
                raise RigMissing(f"{self._library} does not play here: {done.stderr[-300:]}")
            return np.load(sound_path)

    def close(self) -> None: ...
