"""MIDI 1.0 channel messages as bytes: pure functions over two tables.

Conventions
-----------
* Channels are numbered as musicians do, 1..16; the wire's 0..15 appears only here.
* A pitch bend is in semitones relative to the sounding note. On the wire it is 14 bits, least
  significant seven first, 8192 being the centre; the ends of the range are 0 and 16383, so that the
  upper end is short of the range by one step of 8192.
* A value that does not fit a data byte raises ``ValueError``; a bend beyond the range is clipped.

Source of the numbers: MIDI 1.0 Detailed Specification 4.2, tables I to IIIa, and MIDI Polyphonic Expression 1.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

ChannelMessage: TypeAlias = Callable[[int, int], bytes]  # of a channel and 0..127

STATUS = {
    "note_off": 0x80,
    "note_on": 0x90,
    "control_change": 0xB0,
    "channel_pressure": 0xD0,
    "pitch_bend": 0xE0,
}

CONTROLLER = {
    "breath": 2,
    "data_entry_msb": 6,
    "volume": 7,
    "expression": 11,
    "brightness": 74,
    "data_entry_lsb": 38,
    "rpn_lsb": 100,
    "rpn_msb": 101,
    "all_sound_off": 120,
    "reset_all": 121,
    "all_notes_off": 123,
}

RPN = {"bend_range": 0, "mpe_zone": 6, "null": 0x3FFF}  # registered parameters, 14 bits

BEND_CENTRE = 8192
BEND_MAX = 16383
MPE_MANAGER = 1  # channel of the lower zone that speaks for all its members
MPE_MEMBERS = 8  # channels 2 to 9: enough for tails, and channel 10 stays free, which readers take for drums


def _message(kind: str, channel: int, *data: int) -> bytes:
    if not 1 <= channel <= 16:
        raise ValueError(f"MIDI channel {channel} is outside 1..16")
    for value in data:
        if not 0 <= value <= 127:
            raise ValueError(f"{kind} data byte {value} is outside 0..127")
    return bytes((STATUS[kind] | (channel - 1), *data))


def note_on(channel: int, note: int, velocity: int) -> bytes:
    """Note on; velocity 1..127, since 0 would mean note off."""
    if velocity == 0:
        raise ValueError("note-on velocity 0 means note off; use 1..127")
    return _message("note_on", channel, note, velocity)


def note_off(channel: int, note: int) -> bytes:
    """Note off with the release velocity 64 of instruments that do not sense it."""
    return _message("note_off", channel, note, 64)


def control_change(channel: int, controller: str, value: int) -> bytes:
    """A controller named in ``CONTROLLER`` set to 0..127."""
    return _message("control_change", channel, CONTROLLER[controller], value)


def channel_pressure(channel: int, value: int) -> bytes:
    """Aftertouch of the whole channel, 0..127."""
    return _message("channel_pressure", channel, value)


def bend_to_14bit(semitones: float, range_semitones: float) -> int:
    """The 14-bit value 0..16383 of a bend, clipped to the range."""
    steps = round(semitones / range_semitones * BEND_CENTRE)
    return min(max(BEND_CENTRE + steps, 0), BEND_MAX)


def pitch_bend(channel: int, value: int) -> bytes:
    """Pitch bend to a 14-bit value 0..16383."""
    return _message("pitch_bend", channel, value & 0x7F, value >> 7)


def parameter_steps(channel: int, name: str, value: int, fine: int = 0) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """A parameter of ``RPN`` set to 0..127, in steps that each say a controller once: its number, data entry, RPN null.

    ``fine`` is the least significant data byte: of a bend range, cents.
    """
    return (
        _parameter_number(channel, RPN[name]),
        [control_change(channel, "data_entry_msb", value), control_change(channel, "data_entry_lsb", fine)],
        _parameter_number(channel, RPN["null"]),
    )


def _parameter_number(channel: int, number: int) -> list[bytes]:
    return [control_change(channel, "rpn_msb", number >> 7), control_change(channel, "rpn_lsb", number & 0x7F)]


def bend_range(channel: int, semitones: float) -> tuple[bytes, ...]:
    """Registered parameter 0, the reach of the pitch bend, to the cent, then RPN null: for who reads it in one moment."""
    whole, cents = divmod(round(100 * semitones), 100)
    return tuple(message for step in parameter_steps(channel, "bend_range", whole, cents) for message in step)


def silence(channel: int) -> tuple[bytes, ...]:
    """Everything that ends a channel's sound at once: sound off, notes off, controllers reset."""
    return tuple(
        control_change(channel, name, 0) for name in ("all_sound_off", "all_notes_off", "reset_all")
    )


def panic() -> list[bytes]:
    """Everything on all channels off, controllers and bends at rest, whoever left them sounding."""
    return [
        message
        for channel in range(1, 17)
        for message in (*silence(channel), pitch_bend(channel, BEND_CENTRE))
    ]


# How the voice's level may be sent while a note sounds: name -> message of (channel, 0..127).
LOUDNESS: dict[str, ChannelMessage | None] = {
    "off": None,
    "pressure": channel_pressure,
    "cc2": lambda channel, value: control_change(channel, "breath", value),
    "cc7": lambda channel, value: control_change(channel, "volume", value),
    "cc11": lambda channel, value: control_change(channel, "expression", value),
}

# Where a controller of ours goes at the end, of those that "reset all controllers" leaves alone (RP-015): General
# MIDI's volume, MPE's middle.
AT_REST = {"cc7": 100, "cc74": 64}

# Where a controller goes that carries the voice no longer, while notes go on: a patch that listens to it then plays in full.
UNUSED = {"pressure": 0, "cc2": 127, "cc7": 100, "cc11": 127, "cc74": 64}

# How its brightness may be sent.
BRIGHTNESS: dict[str, ChannelMessage | None] = {
    "off": None,
    "cc74": lambda channel, value: control_change(channel, "brightness", value),
}
