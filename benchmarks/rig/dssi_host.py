"""The smallest host of a DSSI synthesiser: ``python dssi_host.py PLUGIN.so SCORE.jsonl SECONDS SOUND.npy``.

Score and sound are as in jack_take.py. Source of the structures: ladspa.h 1.1, dssi.h 1.0, ALSA's seq_event.h.
"""

from __future__ import annotations

import ctypes
import json
import sys

import numpy as np

RATE, BLOCK = 48_000, 256
IS_OUTPUT, IS_AUDIO = 0x2, 0x8  # LADSPA_PortDescriptor
NOTE_ON, NOTE_OFF, CONTROLLER, PRESSURE, BEND = 6, 7, 10, 12, 13  # snd_seq_event_type

pointer = ctypes.c_void_p


class Ladspa(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_ulong), ("label", ctypes.c_char_p), ("properties", ctypes.c_int), ("name", ctypes.c_char_p),
        ("maker", ctypes.c_char_p), ("copyright", ctypes.c_char_p), ("port_count", ctypes.c_ulong),
        ("ports", ctypes.POINTER(ctypes.c_int)), ("port_names", pointer), ("hints", pointer), ("data", pointer),
        ("instantiate", ctypes.CFUNCTYPE(pointer, pointer, ctypes.c_ulong)),
        ("connect_port", ctypes.CFUNCTYPE(None, pointer, ctypes.c_ulong, pointer)),
        ("activate", ctypes.CFUNCTYPE(None, pointer)), ("run", pointer), ("run_adding", pointer), ("gain", pointer),
        ("deactivate", pointer), ("cleanup", pointer),
    ]  # fmt: skip


class Dssi(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int), ("ladspa", ctypes.POINTER(Ladspa)), ("configure", pointer), ("get_program", pointer),
        ("select_program", ctypes.CFUNCTYPE(None, pointer, ctypes.c_ulong, ctypes.c_ulong)), ("controller_of", pointer),
        ("run_synth", ctypes.CFUNCTYPE(None, pointer, ctypes.c_ulong, pointer, ctypes.c_ulong)),
    ]  # fmt: skip


class Event(ctypes.Structure):
    """snd_seq_event_t; ``tick`` is the sample within the block."""

    _fields_ = [
        ("type", ctypes.c_ubyte), ("flags", ctypes.c_ubyte), ("tag", ctypes.c_ubyte), ("queue", ctypes.c_ubyte),
        ("tick", ctypes.c_uint), ("unused", ctypes.c_uint), ("source", ctypes.c_ushort), ("dest", ctypes.c_ushort),
        ("data", ctypes.c_ubyte * 12),
    ]  # fmt: skip


def event_of(message: bytes, tick: int) -> Event:
    kind, channel = message[0] & 0xF0, message[0] & 0x0F
    event = Event(tick=tick)
    if kind in (0x80, 0x90):
        event.type = NOTE_ON if kind == 0x90 else NOTE_OFF
        event.data[:3] = (channel, message[1], message[2])
        return event
    number, value = {0xB0: (message[1], message[-1]), 0xD0: (0, message[1]), 0xE0: (0, (message[1] | message[-1] << 7) - 8192)}[kind]
    event.type = {0xB0: CONTROLLER, 0xD0: PRESSURE, 0xE0: BEND}[kind]
    event.data[:] = bytes([channel, 0, 0, 0]) + number.to_bytes(4, "little") + value.to_bytes(4, "little", signed=True)
    return event


def render(library: str, score: list[tuple[int, bytes]], samples: int) -> np.ndarray:
    descriptor = ctypes.CDLL(library).dssi_descriptor
    descriptor.restype, descriptor.argtypes = ctypes.POINTER(Dssi), (ctypes.c_ulong,)
    dssi = descriptor(0).contents
    plugin = dssi.ladspa.contents
    instance = plugin.instantiate(ctypes.addressof(plugin), RATE)
    buffers = [np.zeros(BLOCK if plugin.ports[i] & IS_AUDIO else 1, np.float32) for i in range(plugin.port_count)]
    for i, buffer in enumerate(buffers):
        plugin.connect_port(instance, i, buffer.ctypes.data)
    if plugin.activate:
        plugin.activate(instance)
    dssi.select_program(instance, 0, 0)
    for i in range(plugin.port_count):
        if not plugin.ports[i] & IS_AUDIO and not plugin.ports[i] & IS_OUTPUT:
            buffers[i][0] = {b"Tuning": 440.0, b"Volume": 0.0}.get(_name(plugin, i).split(b" ")[0], 0.0)
    sounding = next(b for i, b in enumerate(buffers) if plugin.ports[i] & IS_AUDIO and plugin.ports[i] & IS_OUTPUT)
    sound, said = np.zeros(samples + BLOCK, np.float32), 0
    for at in range(0, samples, BLOCK):
        now = [event_of(m, max(0, when - at)) for when, m in score[said:] if when < at + BLOCK]
        said += len(now)
        events = (Event * max(1, len(now)))(*now)
        dssi.run_synth(instance, BLOCK, ctypes.addressof(events), len(now))
        sound[at : at + BLOCK] = sounding
    return sound[:samples]


def _name(plugin: Ladspa, index: int) -> bytes:
    return ctypes.cast(plugin.port_names, ctypes.POINTER(ctypes.c_char_p))[index]


def main(library: str, score_path: str, seconds: str, sound_path: str) -> None:
    with open(score_path, encoding="utf-8") as file:
        score = [(round(at_s * RATE), bytes.fromhex(data)) for at_s, data in map(json.loads, file)]
    np.save(sound_path, render(library, score, round(float(seconds) * RATE)))


if __name__ == "__main__":
    main(*sys.argv[1:])
