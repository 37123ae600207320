"""Settings that are changed while a session runs, and what else may be asked of it.

Conventions
-----------
* A message is the flat name of a setting and a value, as the command line has them, or the name of an action (``ACTIONS``).
  It is validated where it comes in, by whoever sends it; the session is handed settings that hold, and never an error.
* The session is handed a state, not a log: of a thousand messages between two hops it gets the settings that they come to,
  once. So what waits is bounded, and nothing that is sent last is lost.
* ``Desk.take`` neither waits nor takes a lock that a sender holds. Senders, of any thread, wait for each other alone.
* A setting declares how it takes effect (``live``): at once, from the next note on, or by a restart of the engine, which the
  session then asks of whoever runs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings import FLAT, Settings, change_setting
from rt_melody.realtime.settings.base import RESTART, did_you_mean
from rt_melody.realtime.settings.profiles import with_profiles

LIVE = {name: place.live for name, place in FLAT.items() if place.live}  # flat name -> how it takes effect
PANIC, PAUSE, PROFILE = "panic", "pause", "profile"
ACTIONS = (PANIC, PAUSE, PROFILE)  # silence everything; play nothing, with a value of 0 play on; play by these profiles
KEPT = ("source", "output", "band", "report", "control")  # groups that a choice of profiles does not put back


@dataclass(frozen=True, slots=True)
class Orders:
    """What a session should do now. ``panics`` counts from the beginning."""

    settings: Settings
    paused: bool = False
    panics: int = 0
    running: bool = True  # whether there should be a session at all
    profiles: tuple[str, ...] = ()  # that were chosen last, of settings that may have been changed since


class Desk:
    """Where changes come in and a session takes them. ``on_change`` is called with the new orders, in the sender's thread."""

    def __init__(self, settings: Settings | None = None, on_change: Callable[[Orders], object] = lambda orders: None) -> None:
        self._orders = self._taken = Orders(settings or Settings())
        self._at_first = self._orders.settings
        self._among_senders = threading.Lock()
        self.on_change = on_change

    @property
    def orders(self) -> Orders:
        """The newest."""
        return self._orders

    @property
    def settings(self) -> Settings:
        """The newest."""
        return self._orders.settings

    @property
    def taken(self) -> Orders:
        """What ``take`` gave last, which whoever makes a tracker and sinks goes by."""
        return self._taken

    def send(self, name: str, value: Any = None) -> None:
        """One message. Raises SettingsError, of one sentence, for one that cannot be obeyed; nothing has changed then."""
        if name == PANIC:
            self.panic()
        elif name == PAUSE:
            self.pause(_as_bool(value))
        elif name == PROFILE:
            self.use_profiles(_as_names(value))
        else:
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Change a setting by its flat name."""
        if name not in LIVE:
            raise SettingsError(_not_live(name))
        self._give(lambda now: replace(now, settings=change_setting(now.settings, name, value)))

    def use_profiles(self, names: Sequence[str]) -> None:
        """Play by what was asked for at first and these profiles over it, a later one over an earlier: what was changed since is put
        back, but for what comes in and goes out. Raises SettingsError where one is not there or sets what cannot be changed now."""

        def change(now: Orders) -> Orders:
            kept = {group: getattr(now.settings, group) for group in KEPT}
            settings = with_profiles(self._at_first.changed(**kept), names)
            if fixed := [name for name in FLAT if name not in LIVE and settings.flat(name) != now.settings.flat(name)]:
                said = f"profile {' '.join(names)} sets {', '.join(fixed)}, which cannot be changed while it plays"
                raise SettingsError(f"{said}; give it at the start, --profile {' '.join(names)}")
            return replace(now, settings=settings, profiles=tuple(names))

        self._give(change)

    def put(self, settings: Settings) -> None:
        """All settings at once, as after a restart that could not be."""
        self._give(lambda now: replace(now, settings=settings, profiles=()))

    def run(self, running: bool = True) -> None:
        """Begin to listen, or end the session. Of use where somebody waits for it to begin, as with the panel."""
        self._give(lambda now: replace(now, running=running))

    def pause(self, paused: bool = True) -> None:
        """Play nothing, or play on."""
        self._give(lambda now: replace(now, paused=paused))

    def panic(self) -> None:
        """Silence everything, whatever left it sounding."""
        self._give(lambda now: replace(now, panics=now.panics + 1))

    def _give(self, change: Callable[[Orders], Orders]) -> None:
        with self._among_senders:
            orders = change(self._orders)
            self._orders = orders
        self.on_change(orders)

    def take(self) -> Orders | None:
        """What has changed since the last call; None where nothing has. For the session, between two hops."""
        orders = self._orders
        if orders is self._taken:
            return None
        self._taken = orders
        return orders


def needing_restart(before: Settings, after: Settings) -> list[str]:
    """The names of what has changed and needs another engine, device or port."""
    return [name for name, how in LIVE.items() if how == RESTART and before.flat(name) != after.flat(name)]


def _as_names(value: Any) -> list[str]:
    """None, a name, or several, apart or with spaces between."""
    names = [] if value is None else cast("list[Any]", value) if isinstance(value, list) else [value]
    return [name for given in names for name in str(given).split()]


def _as_bool(value: Any) -> bool:
    if value is None or value in (True, 1, "1", "true", "on"):
        return True
    if value in (False, 0, "0", "false", "off"):
        return False
    raise SettingsError(f"{PAUSE} {value} cannot be used: it must be 1 or 0")


def _not_live(name: str) -> str:
    if name in FLAT:
        return f"{name} cannot be changed while it plays; give it at the start, --{name.replace('_', '-')}"
    return f"{name} is no setting; {did_you_mean(name, [*ACTIONS, *LIVE])}"
