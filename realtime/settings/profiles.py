"""Settings under a name: what ``rt-melody setup`` found out of a voice, and presets that come with the program.

Conventions
-----------
* A profile is a YAML file like that of ``--config``, of which it holds what it wants to say. ``--profile`` takes several: a later one
  wins over an earlier one, ``--config`` over all of them, options over everything.
* The user's own lie in the platform's folder for configuration, and win over a preset of the same name.
* Offered are those alone that can be used: a file of the user's may be damaged, or have a name that ``--profile`` does not take.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from platformdirs import user_config_path

from rt_melody.realtime.console import visible
from rt_melody.realtime.errors import OutputError, RtMelodyError, SettingsError
from rt_melody.realtime.settings.base import nearest
from rt_melody.realtime.settings.files import Values, asked_values, make_settings, read_yaml
from rt_melody.realtime.settings.root import FLAT, Settings

PRESETS = Path(__file__).parent / "presets"
NAME = re.compile(r"[\w-]{1,40}")
LIST = "list"  # in the place of a name: show them


def profile_folder() -> Path:
    """Where the user's profiles lie; it need not be there."""
    return user_config_path("rt-melody", appauthor=False) / "profiles"


def profile_paths() -> dict[str, Path]:
    """Every profile by its name, the user's own before the presets."""
    paths: dict[str, Path] = {}
    for folder in (profile_folder(), PRESETS):
        for path in sorted(folder.glob("*.yaml")) if os.path.isdir(folder) else ():
            paths.setdefault(path.stem, path)
    return paths


def checked_name(name: str) -> str:
    """Raises SettingsError for what is no name of a profile, such as a path."""
    if name == LIST:
        raise SettingsError(f"a profile cannot be called {LIST}, since --profile {LIST} shows them all; give it another name")
    if not NAME.fullmatch(name):
        raise SettingsError(f"profile {name!r} cannot be used: it must be letters, digits, - and _, 40 at most")
    return name


def find_profile(name: str) -> Path:
    """The file of a profile. Raises SettingsError with those that there are."""
    paths = profile_paths()
    if checked_name(name) not in paths:
        usable = [told[0] for told in told_profiles()]
        near = nearest(name, usable)
        way_out = f"did you mean {near}?" if near else f"choose from {', '.join(usable)}, or make one with rt-melody setup"
        raise SettingsError(f"there is no profile {name}; {way_out}")
    return paths[name]


def profile_values(names: Sequence[str]) -> Values:
    """What profiles say, by group and setting, the later over the earlier. Raises SettingsError for one that does not fit."""
    values: Values = {}
    for name in names:
        for group, asked in asked_values(make_settings(path=find_profile(name))).items():
            values.setdefault(group, {}).update(asked)
    return values


def over_profiles(said: Values, asked: Values) -> Settings:
    """Settings of what profiles say (``profile_values``) and, over it, what is asked for besides. Raises SettingsError where the two do
    not go together."""
    values: dict[str, Any] = {group: {**said.get(group, {}), **asked.get(group, {})} for group in {**said, **asked}}
    return Settings(**values)


def overruled(said: Values, asked: Values, settings: Settings) -> list[str]:
    """The flat names of what profiles say and ``settings``, of these two, have otherwise."""
    alone = Settings(**cast("dict[str, Any]", said))
    places = {(place.group, place.name): flat for flat, place in FLAT.items()}
    both = [places[group, name] for group in said for name in said[group] if name in asked.get(group, {}) and (group, name) in places]
    return [flat for flat in both if alone.flat(flat) != settings.flat(flat)]


def own_profiles() -> list[str]:
    """The names of the user's own."""
    return [name for name, path in profile_paths().items() if path.parent != PRESETS]


def told_profiles() -> list[list[str]]:
    """Each profile that can be used: its name, whose it is ("own" or "preset"), and the first line of its file."""
    return [
        [name, "preset" if path.parent == PRESETS else "own", _first_line(path)]
        for name, path in sorted(profile_paths().items())
        if _fault(name, path) is None
    ]


def _fault(name: str, path: Path) -> str | None:
    """Why a profile cannot be used, in a sentence; None where it can."""
    try:
        checked_name(name)
        if not os.path.isfile(path):  # a pipe would be waited for
            return f"{path} is no file"
        make_settings(path=path)
    except RtMelodyError as error:
        return str(error)
    return None


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().lstrip("# ").strip()


def list_profiles() -> str:
    """The profiles as text, each with the first line of its file; of those that cannot be used, why."""
    lines = ["Profiles, for --profile NAME:"]
    lines += [f"  {name:<14} {first}" for name, _, first in told_profiles()]
    lines.append(f"Your own lie in {profile_folder()}.")
    faults = [f"  {visible(path.name, '')}: {fault}" for name, path in sorted(profile_paths().items()) if (fault := _fault(name, path))]
    return "\n".join([*lines, *(["These cannot be used:", *faults] if faults else [])]) + "\n"


def make_profile_folder() -> None:
    """Make sure that a profile can be kept, before anybody sings for it. Raises OutputError."""
    folder = profile_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"no profile can be kept in {folder} ({error.strerror}); see that the folder can be written") from error


def write_profile(name: str, text: str) -> Path:
    """Keep a profile of the user's. Raises SettingsError for its name or what is in it, OutputError where it cannot be written."""
    path = profile_folder() / f"{checked_name(name)}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the profile cannot be written to {path} ({error.strerror}); see that the folder can be") from error
    read_yaml(path)
    return path
