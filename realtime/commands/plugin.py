"""``rt-melody plugin``: the plugin for audio workstations, installed, checked, removed; and the engine behind it."""

from __future__ import annotations

import os
import select
import stat
import threading

from rt_melody.realtime.console import print_text
from rt_melody.realtime.errors import SettingsError

USAGE = """usage: rt-melody plugin install   [--formats lv2 vst3 clap] [--system]
       rt-melody plugin uninstall [--formats lv2 vst3 clap] [--system]
       rt-melody plugin check

install    build the plugin with the compiler at hand, and put it where hosts look: for you, or for all users (--system)
uninstall  remove it again
check      host the installed LV2 plugin for some seconds with the demo song, and say whether it plays

docs/plugin.md says how to use it in Ardour, Reaper, Bitwig and others.
"""
WORDS = ("install", "uninstall", "check", "host")
FORMATS = ("lv2", "vst3", "clap")


def run(arguments: list[str]) -> int:
    """One of ``WORDS``; ``host`` is for the plugin itself. Raises RtMelodyError."""
    word, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if word in ("-h", "--help", ""):
        return print_text(USAGE)
    if word not in WORDS:
        raise SettingsError(f"plugin {word} cannot be used: it must be install, uninstall or check; rt-melody plugin --help says more")
    if word == "host":
        return _host(rest)
    if word == "check":
        return _check(rest)
    return _place(word, *_options(rest))


def _options(rest: list[str]) -> tuple[list[str], bool]:
    """The formats that are meant, and whether for all users."""
    formats, system, naming = list[str](), False, False
    for word in rest:
        if word == "--system":
            system, naming = True, False
        elif word == "--formats":
            naming = True
        elif naming and word in FORMATS:
            formats.append(word)
        else:
            raise SettingsError(f"{word} cannot be used here: give {', '.join(FORMATS)} behind --formats, or --system for all users")
    if "--formats" in rest and not formats:
        raise SettingsError(f"--formats names none; choose from {', '.join(FORMATS)}, or leave it out for all")
    return formats or list(FORMATS), system


def _place(word: str, formats: list[str], system: bool) -> int:
    from rt_melody.realtime.plugin import installing

    {"install": installing.install, "uninstall": installing.uninstall}[word](formats, system, _tell)
    return 0


def _check(rest: list[str]) -> int:
    if rest:
        raise SettingsError(f"plugin check takes no {rest[0]}; say rt-melody plugin check")
    from rt_melody.realtime.plugin.checking import check

    check(_tell)
    return 0


def _host(rest: list[str]) -> int:
    """Descriptors of the memory and of the pipe, which the plugin has opened."""
    if len(rest) != 2 or not all(number.isascii() and number.isdigit() and len(number) < 7 for number in rest):
        raise SettingsError(f"plugin host {' '.join(rest)} cannot be used: the plugin itself starts it, with two file descriptors")
    _end_with(int(rest[1]))
    from rt_melody.realtime.plugin.host import serve

    return serve(int(rest[0]), int(rest[1]))


def _end_with(pipe: int) -> None:
    """Leave as soon as nobody can write to the pipe, even while all is being loaded: we hold nothing that would be lost."""

    def watch() -> None:
        hung_up = select.poll()
        hung_up.register(pipe, 0)  # which an end that is closed reports all the same
        hung_up.poll()
        os._exit(0)

    if hasattr(select, "poll") and _is_pipe(pipe):
        threading.Thread(target=watch, name="host-watch", daemon=True).start()


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _tell(text: str) -> None:
    print_text(f"{text}\n")
