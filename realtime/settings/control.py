"""How the program is steered while it plays."""

from __future__ import annotations

from typing import Optional

from rt_melody.realtime.settings.base import SettingsModel, option
from rt_melody.realtime.settings.kinds import Text


class ControlSettings(SettingsModel):
    """How it is steered while it plays."""

    osc_in: Optional[Text] = option(None, "let OSC change settings while it plays, on this UDP port of this machine alone; HOST:PORT listens there", metavar="PORT")
    panel: Optional[Text] = option(None, "show a panel in the browser, at this port of this machine alone: what is sung, and every setting to be changed while it plays; HOST:PORT serves it to a network, by a secret link", metavar="PORT")
