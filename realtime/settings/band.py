"""The band: what the program plays, and what it knows of what is heard beside the voice."""

from __future__ import annotations

from typing import Optional

from rt_melody.realtime.settings.base import SettingsModel, option
from rt_melody.realtime.settings.kinds import Device, FileName


class BandSettings(SettingsModel):
    """What is played to the singer."""

    file: Optional[FileName] = option(None, "play this song, and take it out of what the microphone hears; ends with it", flag="backing", metavar="FILE")
    device: Device = option(None, "what plays the song: its number or part of its name, see --list-devices", flag="output_device", metavar="NAME|INDEX")
    gain_db: float = option(0.0, "how much louder the song is played than it is, dB; what exceeds full scale is clipped", flag="backing_gain_db", ge=-80, le=40)
    loop: bool = option(False, "begin the song again at its end, until you end the program", flag="backing_loop")
    delay_s: float = option(0.0, "seconds of silence before the song begins, in which nothing is listened to", flag="backing_delay", metavar="SECONDS", ge=0, le=60)
