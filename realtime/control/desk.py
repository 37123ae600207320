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
* Who wins is the same at the start and later: a default, over it a profile, over that what was asked for by name, on the command
  line, in a file, or since. So a profile puts nothing back that a player has turned; ``Orders.kept`` says what it then does not set,
  and ``follow`` lets it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings import FLAT, Settings, change_setting
from rt_melody.realtime.settings.base import RESTART, did_you_mean
from rt_melody.realtime.settings.files import Values, asked_values
from rt_melody.realtime.settings.profiles import over_profiles, overruled, profile_values

LIVE = {name: place.live for name, place in FLAT.items() if place.live}  # flat name -> how it takes effect
PANIC, PAUSE, PROFILE, FOLLOW = "panic", "pause", "profile", "follow"
# Silence everything; play nothing, with a value of 0 play on; play by these profiles; let them set what they say.
ACTIONS = (PANIC, PAUSE, PROFILE, FOLLOW)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a session should do now. ``panics`` counts from the beginning."""

    settings: Settings
    paused: bool = False
    panics: int = 0
    running: bool = True  # whether there should be a session at all
    profiles: tuple[str, ...] = ()  # that are played by, the later over the earlier
    said: Values = field(default_factory=dict[str, dict[str, Any]])  # by groups, what these say, as it was when they were chosen
    asked: Values = field(default_factory=dict[str, dict[str, Any]])  # likewise, what was asked for by name: it wins over profiles
    kept: tuple[str, ...] = ()  # flat names of what the profiles would have otherwise


class Desk:
    """Where changes come in and a session takes them. ``on_change`` is called with the new orders, in the sender's thread.

    ``settings`` are those at first; ``profiles`` the names of those that are in them; ``asked`` what in them was asked for by name, by
    groups: None where all that they do not leave to defaults was. Raises SettingsError for a profile that cannot be used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        on_change: Callable[[Orders], object] = lambda orders: None,
        profiles: Sequence[str] = (),
        asked: Values | None = None,
    ) -> None:
        settings = settings or Settings()
        asked = asked_values(settings) if asked is None else asked
        self._orders = self._taken = _played_by(Orders(settings, asked=asked), profiles, settings)
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
        elif name == FOLLOW:
            self.follow(_as_names(value))
        else:
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Change a setting by its flat name."""
        if name not in LIVE:
            raise SettingsError(_not_live(name))
        self._give(lambda now: _turned(now, name, value))

    def use_profiles(self, names: Sequence[str]) -> None:
        """Play by these profiles, a later one over an earlier. What was asked for by name, at the start or since, stays: ``orders.kept``
        says what of it they would have otherwise. Raises SettingsError where one is not there or sets what cannot be changed now."""
        self._give(lambda now: _played_by(now, names))

    def follow(self, names: Sequence[str] = ()) -> None:
        """Let the profiles that are played by set what they say, whatever was asked for by name; with names those alone."""

        def change(now: Orders) -> Orders:
            let_go = overruled(profile_values(names) if names else now.said, now.asked, now.settings)
            return _played_by(replace(now, asked=_without(now.asked, let_go)), now.profiles)

        self._give(change)

    def put(self, orders: Orders) -> None:
        """The settings of these orders again, as after a restart that could not be."""
        self._give(lambda now: replace(orders, paused=now.paused, panics=now.panics, running=now.running))

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


def _turned(now: Orders, name: str, value: Any) -> Orders:
    """With that setting changed."""
    settings, place = change_setting(now.settings, name, value), FLAT[name]
    asked = {**now.asked, place.group: {**now.asked.get(place.group, {}), place.name: getattr(getattr(settings, place.group), place.name)}}
    return replace(now, settings=settings, asked=asked, kept=_kept(now.said, asked, settings))


def _played_by(now: Orders, names: Sequence[str], settings: Settings | None = None) -> Orders:
    """With those profiles; ``settings``: what comes of it, where that is known."""
    said = profile_values(names)
    if settings is None:
        settings = over_profiles(said, now.asked)
        if fixed := [name for name in FLAT if name not in LIVE and settings.flat(name) != now.settings.flat(name)]:
            said = f"profile {' '.join(names)} sets {', '.join(fixed)}, which cannot be changed while it plays"
            raise SettingsError(f"{said}; give it at the start, --profile {' '.join(names)}")
    return replace(now, settings=settings, profiles=tuple(names), said=said, kept=_kept(said, now.asked, settings))


def _kept(said: Values, asked: Values, settings: Settings) -> tuple[str, ...]:
    return tuple(overruled(said, asked, settings)) if said else ()


def _without(asked: Values, names: Sequence[str]) -> Values:
    """But for these flat names."""
    left = {(FLAT[name].group, FLAT[name].name) for name in names}
    return {group: {name: value for name, value in values.items() if (group, name) not in left} for group, values in asked.items()}


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
