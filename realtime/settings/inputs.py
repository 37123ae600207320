"""What comes in, and how it is heard: source, tracker, decoder."""

from __future__ import annotations

from typing import Optional

from pydantic import model_validator

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings.base import RESTART, SettingsModel, option
from rt_melody.realtime.settings.kinds import Device, FileName, FileNames


class SourceSettings(SettingsModel):
    """What comes in."""

    input: FileNames = option(["mic"], "mic, demo, - (a wav on stdin, or raw mono float32 with --rate), or audio files", metavar="INPUT", min_length=1, live=RESTART)
    device: Device = option(None, "the microphone: its number or part of its name, see --list-devices", metavar="NAME|INDEX", live=RESTART)
    reference: Optional[FileName] = option(None, "the band that is heard beside the voice, which is taken out: for a recording another that begins with it, such as a karaoke track; for the microphone another input on which it comes as it is played, such as an output's monitor, or with --jack what gives it in the graph", metavar="FILE|DEVICE")
    reference_channel: Optional[int] = option(None, "the channel of the input, from 1, on which the band comes as it is played, such as an interface's loopback: it is taken out", metavar="N", ge=1, le=512)
    jack: bool = option(False, "listen and play in the graph of JACK or PipeWire, as one client; --device and --midi-out are then names in it")
    rate: Optional[int] = option(None, "sample rate in Hz, of raw samples on stdin or asked of the microphone", metavar="HZ", ge=1000, le=768000)
    channel: Optional[int] = option(None, "use this channel of the input alone, from 1; default: the mean of all that hold sound", ge=1, le=512, live=RESTART)
    reconnect: bool = option(True, "go on without a microphone or a sound server that is lost, and with it once it is back")
    jobs: Optional[int] = option(None, "hear so many files side by side; default: one a core where there are several, and one where they are played at the pace of the clock", metavar="N", ge=1, le=256)
    realtime: bool = option(False, "read files, the demo and stdin at the pace of the clock, as --midi-out and --osc do with files anyway")


class TrackingSettings(SettingsModel):
    """How it is heard."""

    latency_ms: float = option(50.0, "bound in ms on how far the estimate lies behind the newest sample: less is quicker, more is surer", gt=0, le=2000, live=RESTART)
    priority: bool = option(True, "live, ask the system for real-time priority and locked memory")
    model: Optional[FileName] = option(None, "model file; default: the one that is shipped", metavar="FILE")
    trust_model: bool = option(False, "run the code that a model file of another origin holds")
    light: bool = option(False, "hear with the light model, for slow machines: half the arithmetic of the network, less sure over a band", live=RESTART)

    @property
    def chosen_model(self) -> str | None:
        """The name of a shipped model, or a model file; None for the surest that is shipped. Raises SettingsError for two at once."""
        if self.light and self.model is not None:
            raise SettingsError(f"--light is a model of its own, and --model names {self.model}; leave one of the two out")
        return "light" if self.light else self.model


class DecoderSettings(SettingsModel):
    """How a pitch and a voicing are read out of the network's posteriors. Probabilities are per hop; defaults were chosen
    on validation singers."""

    voicing_threshold: float = option(0.7, "probability of singing from which a frame is voiced", metavar="P", gt=0, lt=1, live=RESTART)
    f0_min_hz: float = option(55.0, "lowest pitch that is looked for, in Hz", gt=0, live=RESTART)
    f0_max_hz: float = option(1450.0, "highest pitch that is looked for, in Hz", gt=0, live=RESTART)
    # The decoder's model of how singing moves. Not on the command line.
    move_cents: float = option(60.0, "standard deviation of the pitch's movement from hop to hop", flag="", gt=0)
    move_limit_cents: float = option(240.0, "most that the pitch moves from hop to hop, but for leaps", flag="", gt=0)
    leap: float = option(0.3, "probability of a new pitch anywhere: less keeps a step of pitch waiting for one more hop", flag="", gt=0, lt=1)
    begin: float = option(0.9, "probability of singing to begin: the network weighs the past itself, less only delays", flag="", gt=0, le=1)
    end: float = option(0.9, "probability of singing to end", flag="", gt=0, le=1)

    @model_validator(mode="after")
    def _range_ascends(self) -> DecoderSettings:
        if not self.f0_min_hz < self.f0_max_hz:
            raise SettingsError(f"a lowest pitch of {self.f0_min_hz:g} Hz is not below the highest, {self.f0_max_hz:g} Hz; see --f0-min-hz and --f0-max-hz")
        return self
