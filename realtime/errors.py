"""What can go wrong for a reason outside of this program, as one family of exceptions.

Each message is one sentence: the value, the rule, the way out. The command prints it and leaves with status 2, without
a traceback. Whoever uses the package catches ``RtMelodyError``, or the kind that is of interest.
"""

import sys

from rt_melody.realtime.shell import quoted


def missing_package(what: str, package: str) -> str:
    """The sentence for an extra that is not installed. Its command names the interpreter that runs: so it is right whether the program
    was installed from a folder or from a wheel, and whichever environment the terminal is in."""
    return f"{what} needs the Python package {package}, which is not installed; run `{quoted(sys.executable)} -m pip install {package}`"


class RtMelodyError(Exception):
    """Something that was asked for or given cannot be used."""


class SettingsError(RtMelodyError, ValueError):
    """A setting that is unknown, out of range, or at odds with another.

    ``location``: the names that lead to it, such as ("notes", "on_ms"); ``value``: as it was given; ``rule``: what it
    must be, or the way out; ``meaning``: what the setting is. Empty where the message says all.
    """

    location: tuple[str, ...] = ()
    value: object = None
    rule: str = ""
    meaning: str = ""

    unknown: bool = False  # whether it is the name that is wrong

    @classmethod
    def of(cls, location: tuple[str, ...], value: object, rule: str, meaning: str = "", unknown: bool = False) -> "SettingsError":
        """One that knows where it stood, so that whoever read the value from a file or a command line can say so."""
        name = ".".join(location)
        clause = f" ({meaning})" if meaning else ""
        error = cls(f"{name} is no setting; {rule}" if unknown else f"{name} {value} cannot be used: {rule}{clause}")
        error.location, error.value, error.rule, error.meaning, error.unknown = location, value, rule, meaning, unknown
        return error

    def within(self, location: tuple[str, ...]) -> "SettingsError":
        """The same, seen from the group around it."""
        if not self.rule:
            return self
        return SettingsError.of((*location, *self.location), self.value, self.rule, self.meaning, self.unknown)


class InputError(RtMelodyError):
    """A recording, a stream of samples or a model file that cannot be used."""


class DeviceError(RtMelodyError):
    """An audio device, a MIDI system or a MIDI port that is absent, busy or lost."""


class OutputError(RtMelodyError):
    """A file, a stream or a receiver that does not take what is sent to it."""
