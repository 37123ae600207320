"""Every input that the command knows: a new one is a module and a line here.

Conventions
-----------
* A factory takes a ``SourceRequest`` and gives a source, not yet open. What has no name of its own is a file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rt_melody.realtime import sources
from rt_melody.realtime.settings import SourceSettings
from rt_melody.realtime.sources.sounding import Aloud


@dataclass(frozen=True)
class SourceRequest:
    """``name`` as given to ``--input``; ``paced``: play recordings at the pace of the clock, since somebody listens; ``stop``
    is asked while a source waits for another program. ``jack``: the microphone is this, the audio input of a JACK client;
    ``backing``: what is played beside the microphone, unless that is JACK's; ``instrument``: what its stream is to play besides."""

    name: str
    settings: SourceSettings
    paced: bool
    stop: Callable[[], bool] = lambda: False
    jack: sources.AudioSource | None = None
    backing: sources.Backing | None = None
    instrument: Aloud | None = None


def _microphone(request: SourceRequest) -> sources.AudioSource:
    s = request.settings
    if request.jack is not None:
        return request.jack
    if s.reference_channel is not None:
        return sources.ReferencedMicrophone(s.reference_channel, s.device, s.rate, s.channel)
    if s.reference is not None:
        return sources.TwoInputMicrophone(s.reference, s.device, s.rate, s.channel, reconnect=s.reconnect)
    if request.backing is not None:
        backed = sources.BackedMicrophone(request.backing, s.device, s.rate, s.channel)
        backed.instrument = request.instrument
        return backed
    if request.instrument is not None:
        return sources.SoundingMicrophone(request.instrument, s.device, s.rate, s.channel, reconnect=s.reconnect, ask_others=True)
    return sources.MicrophoneSource(s.device, s.rate, s.channel, ask_others=True, reconnect=s.reconnect)


def _demo(request: SourceRequest) -> sources.AudioSource:
    return sources.DemoSource(realtime=request.paced, channel=request.settings.channel)


def _pipe(request: SourceRequest) -> sources.AudioSource:
    s = request.settings
    return sources.PipeSource(sys.stdin.buffer, s.rate, s.realtime, channel=s.channel, stop=request.stop)


def _file(request: SourceRequest) -> sources.AudioSource:
    return sources.FileSource(request.name, realtime=request.paced, channel=request.settings.channel, stop=request.stop)


NAMED: dict[str, Callable[[SourceRequest], sources.AudioSource]] = {"mic": _microphone, "demo": _demo, "-": _pipe}


def make_source(request: SourceRequest) -> sources.AudioSource:
    """The source of that name, else the file."""
    return NAMED.get(request.name, _file)(request)
