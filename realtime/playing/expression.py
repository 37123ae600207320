"""From what a voice does to the 0..127 of MIDI: curves over ranges, pure functions.

Conventions
-----------
* A ``Curve`` maps a measure to 0..1: linear between ``low`` and ``high``, clipped outside, then raised to
  the exponent of its name. As on keyboards, a soft curve makes a soft voice loud.
* Loudness and velocity are read from dBFS, brightness from the logarithm of Hz.

How the ranges were chosen
--------------------------
From every eighth training clip of MIR-1K (13 amateurs, close microphone) and every third take of SSVD (sight-singing
into phones). The loudest hop of an onset lies at -32, -22 and -14 dBFS in SSVD (5, 50 and 95 % of 1097 notes) and at -25,
-15 and -9 in MIR-1K (664 phrases): over -45 .. -6 the linear curve makes of that velocities 41, 75, 100 and 66, 98,
117, which leaves room for a whisper and for a microphone of 10 dB less gain. The brightness of voiced hops lies at 225,
455 and 923 Hz (19,893 hops of MIR-1K). A microphone of another gain needs another range: the live line shows the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log2

from rt_melody.realtime.errors import SettingsError

EXPONENTS = {"soft": 0.6, "linear": 1.0, "hard": 1.7}
FIXED = "fixed"
FIXED_VELOCITY = 100  # where none is given
LOUDNESS_DB = (-45.0, -6.0)
BRIGHTNESS_HZ = (225.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """``unit`` gives 0..1 of a measure, ``byte`` 0..127."""

    low: float
    high: float
    exponent: float = 1.0

    def unit(self, value: float) -> float:
        """0..1, clipped; NaN gives 0."""
        part = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, part)) ** self.exponent  # in this order NaN gives 0

    def byte(self, value: float) -> int:
        """The same as 0..127."""
        return round(127 * self.unit(value))


@dataclass(frozen=True, slots=True)
class BrightnessCurve:
    """A ``Curve`` over octaves for values in Hz."""

    octaves: Curve

    def byte(self, brightness_hz: float) -> int:
        """0..127 of a brightness in Hz; 0 where it is not known."""
        return self.octaves.byte(log2(brightness_hz)) if brightness_hz > 0 else 0


@dataclass(frozen=True, slots=True)
class VelocityCurve:
    """Velocity 1..127 of the level at the onset in dBFS; ``fixed`` gives the same to all."""

    curve: Curve
    fixed: int | None = None

    def velocity(self, level_db: float) -> int:
        """1..127 of a level in dBFS."""
        return self.fixed or 1 + round(126 * self.curve.unit(level_db))

    def over(self, range_db: tuple[float, float]) -> VelocityCurve:
        """The same curve over another range of levels."""
        return VelocityCurve(Curve(*range_db, self.curve.exponent), self.fixed)


def loudness_curve(name: str = "linear", range_db: tuple[float, float] = LOUDNESS_DB) -> Curve:
    """Raises ``SettingsError`` for an unknown name or a range that does not ascend."""
    return Curve(*_ascending("loudness range", range_db, "dBFS", LOUDNESS_DB), _exponent(name))


def brightness_curve(
    name: str = "linear", range_hz: tuple[float, float] = BRIGHTNESS_HZ
) -> BrightnessCurve:
    """Raises ``SettingsError`` for an unknown name, and a range that does not ascend from above 0."""
    low, high = _ascending("brightness range", range_hz, "Hz", BRIGHTNESS_HZ)
    if low <= 0:
        raise SettingsError(f"brightness range {low:g} .. {high:g} Hz must lie above 0; for instance 225 1000")
    return BrightnessCurve(Curve(log2(low), log2(high), _exponent(name)))


def velocity_curve(text: str = "linear", range_db: tuple[float, float] = LOUDNESS_DB) -> VelocityCurve:
    """Of ``soft``, ``linear``, ``hard``, ``fixed`` or ``fixed N``. Raises ``SettingsError`` for anything else."""
    words = text.split()
    if words[:1] == [FIXED]:
        return VelocityCurve(loudness_curve(), _fixed_velocity(words[1:]))
    if len(words) != 1 or words[0] not in EXPONENTS:
        raise SettingsError(f"velocity curve {text!r} is unknown; use {', '.join(EXPONENTS)}, or fixed N with N from 1 to 127")
    return VelocityCurve(Curve(*_ascending("velocity range", range_db, "dBFS", LOUDNESS_DB), _exponent(words[0])))


def _fixed_velocity(words: list[str]) -> int:
    if not words:
        return FIXED_VELOCITY
    number = words[0]
    if len(words) > 1 or not (number.isascii() and number.isdigit() and 1 <= int(number) <= 127):
        raise SettingsError(f"fixed velocity {' '.join(words)!r} is not a whole number from 1 to 127; for instance fixed 100")
    return int(number)


def _exponent(name: str) -> float:
    if name not in EXPONENTS:
        raise SettingsError(f"curve {name!r} is unknown; use one of {', '.join(EXPONENTS)}")
    return EXPONENTS[name]


def _ascending(what: str, pair: tuple[float, float], unit: str, usual: tuple[float, float]) -> tuple[float, float]:
    low, high = pair
    if not (isfinite(low) and isfinite(high) and low < high):
        raise SettingsError(
            f"{what} {low:g} .. {high:g} {unit} must ascend; give the lower end first, for instance {usual[0]:g} {usual[1]:g}"
        )
    return low, high
