"""What can go wrong for a reason outside of this program, as one family of exceptions.

Each message is one sentence: the value, the rule, the way out. The command prints it and leaves with status 2, without
a traceback. Whoever uses the package catches ``RtMelodyError``, or the kind that is of interest.
"""


class RtMelodyError(Exception):
    """Something that was asked for or given cannot be used."""


class SettingsError(RtMelodyError):
    """A setting that is unknown, out of range, or at odds with another."""


class InputError(RtMelodyError):
    """A recording, a stream of samples or a model file that cannot be used."""


class DeviceError(RtMelodyError):
    """An audio device, a MIDI system or a MIDI port that is absent, busy or lost."""


class OutputError(RtMelodyError):
    """A file, a stream or a receiver that does not take what is sent to it."""
