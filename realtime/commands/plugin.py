"""``rt-melody plugin``: the plugin for audio workstations, installed, checked, removed; and the engine behind it."""

from __future__ import annotations

from rt_melody.realtime.errors import SettingsError

USAGE = "rt-melody plugin install, uninstall or check; docs/plugin.md says more"


def run(arguments: list[str]) -> int:
    """One of the words of ``USAGE``; ``host`` is for the plugin itself. Raises RtMelodyError."""
    word, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if word == "host":
        return _host(rest)
    raise SettingsError(f"plugin {word} cannot be used; say {USAGE}".replace("plugin  cannot", "plugin alone cannot"))


def _host(rest: list[str]) -> int:
    """Descriptors of the memory and of the pipe, which the plugin has opened."""
    if len(rest) != 2 or not all(number.isascii() and number.isdigit() and len(number) < 7 for number in rest):
        raise SettingsError(f"plugin host {' '.join(rest)} cannot be used: the plugin starts it, with two file descriptors")
    from rt_melody.realtime.plugin.host import serve

    return serve(int(rest[0]), int(rest[1]))
