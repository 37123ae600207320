"""From settings to the band that is taken out: the song that is played, the recording beside a recording."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rt_melody.realtime.errors import InputError, SettingsError
from rt_melody.realtime.paths import identity, stream_identity
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.settings.band import BandSettings
from rt_melody.realtime.settings.inputs import SourceSettings
from rt_melody.realtime.sources import AudioSource, BackedMicrophone, Backing, FileSource
from rt_melody.realtime.sources.backed import played

if TYPE_CHECKING:
    import numpy as np

SHORTER_S = 1.0  # by which a band may end before its singer
ALONE = {"gain_db": "--backing-gain-db", "loop": "--backing-loop", "delay_s": "--backing-delay"}  # nothing without a song

Stop = Callable[[], bool]


class KnownBand(NamedTuple):
    """What ``MelodyTracker.know_band`` takes."""

    samples: np.ndarray
    sample_rate: int
    loops: bool = False
    lead_s: float = 0.0
    one_clock: bool = True


def check_band(settings: Settings, inputs: list[str]) -> None:
    """Raises SettingsError for what does not go together."""
    reference, song = settings.source.reference, settings.band.file
    if reference is not None and song is not None:
        raise SettingsError(f"--backing {song} is the band that is taken out; leave --reference {reference} out")
    _check_channel(settings, inputs)
    if reference is not None:
        _check_reference(reference, inputs)
    _check_backing(settings.band, inputs, settings.source.jack)


def _check_reference(reference: str, inputs: list[str]) -> None:
    if len(inputs) > 1:
        raise SettingsError(
            f"--reference {reference} is for the microphone or for one recording, whose band it holds; the input is {' '.join(inputs)}"
        )
    if inputs == ["mic"] and os.path.isfile(reference):
        raise SettingsError(
            f"--reference {reference} is a file, and the input is the microphone; to sing over it give --backing {reference}, for "
            f"what another program plays the input on which it comes, and for a recording of a singer --input FILE"
        )
    if inputs != ["mic"]:
        _check_recording(reference, inputs[0])


def _check_recording(reference: str, name: str) -> None:
    """Beside a recording the band is another one, and no device."""
    if not os.path.exists(reference):
        raise SettingsError(
            f"--reference {reference}: there is no such file, and beside {name} the band is a recording that begins with it; give its path"
        )
    if _is_same(name, reference):
        raise SettingsError(
            f"--reference {reference} is the input {name} itself, of which nothing would be left; give the band alone, or where this file "
            "holds voice and band apart --channel and --reference-channel"
        )


def _is_same(name: str, reference: str) -> bool:
    """Whether the input is that file, by whatever path."""
    if name == "-":
        return (ours := stream_identity(sys.stdin)) is not None and ours == identity(reference)
    return name != "demo" and os.path.exists(name) and os.path.samefile(name, reference)


def _check_channel(settings: Settings, inputs: list[str]) -> None:
    source, wanted = settings.source, settings.source.reference_channel
    if wanted is None:
        return
    if source.reference is not None or settings.band.file is not None:
        what = "--reference" if source.reference is not None else "--backing"
        raise SettingsError(f"--reference-channel {wanted} and {what} both say what the band is; leave one of them out")
    if source.channel == wanted:
        raise SettingsError(f"--reference-channel {wanted} is the channel of the voice too; choose another for one of them")
    if source.jack:
        raise SettingsError(
            f"--reference-channel {wanted} is of a device that PortAudio opens; with --jack say by --reference what in the graph gives "
            "the band"
        )
    if len(inputs) > 1 or inputs[0] in ("demo", "-"):
        raise SettingsError(f"--reference-channel {wanted} is for a microphone or one recording; the input is {' '.join(inputs)}")
    if inputs != ["mic"] and source.channel is None:
        raise SettingsError(f"--reference-channel {wanted} of a recording leaves open which channel the voice is; say so by --channel")
    if inputs != ["mic"] and os.path.exists(inputs[0]) and not os.path.isfile(inputs[0]) and not os.path.isdir(inputs[0]):
        raise SettingsError(
            f"--reference-channel {wanted} of {inputs[0]}, which is no file and can be read but once; write the recording to a file first"
        )


def _check_backing(backing: BandSettings, inputs: list[str], jack: bool) -> None:
    if backing.file is None:
        for name, flag in ALONE.items():
            if getattr(backing, name) != BandSettings.model_fields[name].default:
                raise SettingsError(f"{flag} is about a song that is played; name it by --backing FILE, or leave {flag} out")
    elif inputs != ["mic"]:
        raise SettingsError(
            f"--backing {backing.file} is played to a singer at the microphone, and the input is {' '.join(inputs)}; give --input mic, "
            f"or for a recording of a singer --reference {backing.file}"
        )
    elif jack and isinstance(backing.device, int):
        raise SettingsError(
            f"--output-device {backing.device} is a number of PortAudio's; with --jack give a part of a name in the graph"
        )


def read_backing(backing: BandSettings, tell: Callable[[str], None], stop: Stop) -> Backing | None:
    """The song of --backing, as loud as it will be played; ``tell`` hears what is wrong with the file. Raises InputError."""
    if backing.file is None:
        return None
    with FileSource(backing.file, stop=stop) as song:
        samples, rate = song.whole(), song.sample_rate
    if not len(samples):
        raise InputError(song.notice or f"{backing.file} holds no samples; give a song with sound in it")
    for said in filter(None, (song.remark, song.notice)):
        tell(said)
    return Backing(played(samples, backing.gain_db), rate, backing.device, backing.loop, backing.delay_s)


def read_reference(source: AudioSource, settings: SourceSettings, stop: Stop) -> KnownBand | None:
    """The whole of --reference, where it stands beside a recording; read before that one is opened. Raises InputError."""
    if settings.reference is None or source.brings_reference:
        return None
    with FileSource(settings.reference, stop=stop) as file:
        return KnownBand(file.whole(), file.sample_rate)


def known_band(source: AudioSource, settings: SourceSettings, stop: Stop, beside: KnownBand | None = None) -> KnownBand | None:
    """What ``source``, which is open, plays, unless it gives that itself; the other channel of a recording; else what stands ``beside`` it,
    which must last as long as the recording does. Raises InputError."""
    if isinstance(source, FileSource) and settings.reference_channel is not None:
        if settings.reference_channel > source.channels:
            has = f"{source.channels} channel{'s' * (source.channels > 1)}"
            raise InputError(f"{source.path} has {has}, and --reference-channel {settings.reference_channel} is none of them; give another")
        with FileSource(source.path, channel=settings.reference_channel, stop=stop) as file:
            return KnownBand(file.whole(), file.sample_rate)
    if source.brings_reference:
        return None
    if isinstance(source, BackedMicrophone):
        song = source.backing
        return KnownBand(song.samples, song.sample_rate, song.loops, source.reference_lead_s, source.one_clock)
    if beside is None:
        return None
    band_s, input_s = len(beside.samples) / beside.sample_rate, getattr(source, "duration_s", 0.0)
    if band_s < input_s - SHORTER_S:
        raise InputError(
            f"--reference {settings.reference} lasts {band_s:.1f} s and the input {input_s:.1f} s; give the whole band, or leave it out"
        )
    return beside


def said_of_backing(song: Backing, path: str, on: str, one_clock: bool = True) -> str:
    """What is played, on what, and when, in one sentence."""
    begins = f"; it begins in {song.delay_s:g} s" if song.delay_s else ""
    apart = "" if one_clock else "; output and input do not open together, so that each has a clock of its own"
    return f"playing {path} ({song.seconds:.0f} s{', over and over' * song.loops}) on {on}{begins}{apart}"
