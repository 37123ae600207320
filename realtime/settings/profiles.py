"""Settings under a name: what ``rt-melody setup`` found out of a voice, and presets that come with the program.

Conventions
-----------
* A profile is a YAML file like that of ``--config``, of which it holds what it wants to say. ``--profile`` takes several: a later one
  wins over an earlier one, ``--config`` over all of them, options over everything.
* The user's own lie in the platform's folder for configuration, and win over a preset of the same name.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.settings.base import nearest
from rt_melody.realtime.settings.files import make_settings, read_yaml

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
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
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
        near = nearest(name, paths)
        way_out = f"did you mean {near}?" if near else f"choose from {', '.join(sorted(paths))}, or make one with rt-melody setup"
        raise SettingsError(f"there is no profile {name}; {way_out}")
    return paths[name]


def profile_values(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What profiles say, by group and setting, the later over the earlier. Raises SettingsError for one that does not fit."""
    values: dict[str, dict[str, Any]] = {}
    for name in names:
        settings = make_settings(path=find_profile(name))
        for group in settings.model_fields_set:
            held = getattr(settings, group)
            values.setdefault(group, {}).update({field: getattr(held, field) for field in held.model_fields_set})
    return values


def list_profiles() -> str:
    """The profiles as text, each with the first line of its file."""
    lines = ["Profiles, for --profile NAME:"]
    for name, path in sorted(profile_paths().items()):
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].lstrip("# ").strip()
        lines.append(f"  {name:<14} {first}")
    return "\n".join([*lines, f"Your own lie in {profile_folder()}."]) + "\n"


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
