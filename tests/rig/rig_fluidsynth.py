"""FluidSynth as the musician who reads our MIDI: a file in, sound out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mido
import numpy as np
import soundfile

from rt_melody.benchmarks.rig.studio import RigMissing, need_program

SOUND_FONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/soundfonts/default.sf2")
OCARINA = 79  # a plain steady tone, counted from 0
TICKS_PER_S = 1000


def find_sound_font() -> str:
    """A sound font that FluidSynth can play; RigMissing without either."""
    need_program("fluidsynth")
    for path in SOUND_FONTS:
        if Path(path).exists():
            return path
    raise RigMissing("no General MIDI sound font found (Debian: apt-get install fluid-soundfont-gm)")


def messages_of(midi_file: Path) -> list[tuple[float, bytes]]:
    """``(time_s, message)`` of the channel messages of a MIDI file, tempo changes honoured."""
    time_s, messages = 0.0, []
    for message in mido.MidiFile(midi_file):
        time_s += message.time
        if not message.is_meta:
            messages.append((time_s, bytes(message.bytes())))
    return messages


def write_midi(messages: list[tuple[float, bytes]], path: Path, program: int = OCARINA) -> None:
    """A MIDI file of the messages, played on an instrument of General MIDI."""
    melodic = (channel for channel in range(16) if channel != 9)
    track = mido.MidiTrack([mido.Message("program_change", channel=channel, program=program) for channel in melodic])
    ticks = 0
    for time_s, data in messages:
        now = max(ticks, round(time_s * TICKS_PER_S))
        track.append(mido.Message.from_bytes(data, time=now - ticks))
        ticks = now
    tempo = mido.MetaMessage("set_tempo", tempo=500_000)
    mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2, tracks=[mido.MidiTrack([tempo]), track]).save(path)


def render(messages: list[tuple[float, bytes]], sound_font: str, folder: Path, program: int = OCARINA) -> tuple[np.ndarray, int]:
    """The sound of the messages, mono, without reverberation and chorus, and its sample rate."""
    score, sound = folder / "score.mid", folder / "sound.wav"
    write_midi(messages, score, program)
    command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", "48000", "-F", str(sound), sound_font, str(score)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert sound.exists(), f"FluidSynth wrote no file: {done.stdout} {done.stderr}"
    stereo, rate = soundfile.read(sound, dtype="float32", always_2d=True)
    return stereo.mean(axis=1), rate
