"""The options of a command: what argparse finds wrong is one sentence, as everywhere."""

from __future__ import annotations

import argparse
from typing import NoReturn

from rt_melody.realtime.errors import SettingsError


class CommandParser(argparse.ArgumentParser):
    """Of ``rt-melody NAME``. ``parse_args`` raises SettingsError."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"rt-melody {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; {self.prog} --help lists the options")
