"""The options of a command: what argparse finds wrong is one sentence, as everywhere."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings.base import nearest


class SentenceParser(argparse.ArgumentParser):
    """``parse_args`` raises SettingsError: one sentence, without the usage, which names the option that an unknown one may be a slip of."""

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self._negative_number_matcher = re.compile(r"^-\.?\d")  # -45dB and -1e2 are values, which our own rules judge

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word = unknown[0]
            self.error(self._unknown_option(word.partition("=")[0]) if word.startswith("-") else self.stray(word))
        return parsed

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; {self.prog} --help lists the options")

    def _unknown_option(self, flag: str) -> str:
        names = [option[2:].replace("-", "_") for option in self._option_string_actions if option.startswith("--")]
        near = nearest(flag.lstrip("-"), names)
        guess = f"; did you mean --{near.replace('_', '-')}?" if near else ""
        return f"there is no option {flag}{guess}"

    def stray(self, word: str) -> str:
        """What is said of a word that no option takes."""
        return f"{word!r} is one word too many"


class CommandParser(SentenceParser):
    """Of ``rt-melody NAME``."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"rt-melody {name}", description=description, allow_abbrev=False)
