"""Settings from a YAML file and from options, and back into a file.

Conventions
-----------
* A file is a mapping of groups, each a mapping of settings. Flat names, as options have them and as files had them before
  0.2, are understood too.
* An option wins over the file, setting by setting.
* What cannot be used is told as it was written, where it stood.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings.base import did_you_mean
from rt_melody.realtime.settings.notes import RETIRED
from rt_melody.realtime.settings.root import FLAT, Settings, group_model
from rt_melody.realtime.settings.yaml_guard import MAX_BYTES, YamlRefused, load_bounded_yaml
from rt_melody.realtime.shell import quoted

Values = dict[str, dict[str, Any]]  # by group and name
COPIED = {("midi", "mpe"), ("midi", "bend_range_semitones")}  # from the performance, whatever a file says
FOLLOWING = {("notes", "drift_semitones")}  # from other settings, unless asked for


def read_yaml(path: str | Path) -> dict[Any, Any]:
    """The mapping in a YAML file. Raises SettingsError for a file that cannot be read or holds no mapping."""
    try:
        with open(path, "rb") as file:
            values = load_bounded_yaml(file.read(MAX_BYTES + 1))  # a device has no end
    except YamlRefused as error:
        raise SettingsError(f"{path} cannot be used: {error}; rt-melody --print-config shows the form") from error
    except OSError as error:
        raise SettingsError(f"the configuration {path} cannot be read ({error.strerror}); give --config a YAML file") from error
    except Exception as error:  # besides its own errors PyYAML lets through whatever a malformed scalar raises
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        raise SettingsError(f"{path}{line} is not YAML; rt-melody --print-config shows the form") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "one value"
        raise SettingsError(f"{path} holds {kind}, not a mapping of settings; rt-melody --print-config shows the form")
    return cast("dict[Any, Any]", values)


def make_settings(
    options: dict[str, Any] | None = None,
    path: str | Path | None = None,
    tell: Callable[[str], object] = lambda text: None,
    base: Values | None = None,
) -> Settings:
    """Settings from flat ``options``, such as ``{"latency_ms": 20, "notes": {"on_ms": 30}}``, over a YAML file, over ``base``, values
    by group and name that were checked before. ``tell`` takes a sentence where the file is of an older version. Raises
    SettingsError, naming value, place and rule."""
    return read_settings(options, path, tell, base)[0]


def read_settings(
    options: dict[str, Any] | None = None,
    path: str | Path | None = None,
    tell: Callable[[str], object] = lambda text: None,
    base: Values | None = None,
) -> tuple[Settings, Values]:
    """As ``make_settings``; and besides, by groups, what in the settings ``options`` and the file name. A file is read once, which
    may be a pipe."""
    options, stored = options or {}, {} if path is None else _brought_up_to_date(read_yaml(path), path, tell)
    asked, written = _grouped(options, None), _grouped(stored, path)
    base = base or {}
    layers = (base, written, asked)
    values: dict[str, Any] = {
        group: {name: value for layer in layers for name, value in layer.get(group, {}).items()} for group in {**base, **written, **asked}
    }
    try:
        settings = Settings(**values)
    except SettingsError as error:
        raise SettingsError(_told(error, asked, written, stored, path)) from error
    named = {group: {**written.get(group, {}), **asked.get(group, {})} for group in {**written, **asked}}
    return settings, {group: {name: getattr(getattr(settings, group), name) for name in names} for group, names in named.items()}


def asked_values(settings: Settings) -> Values:
    """What was asked for, by groups; ``Settings(**this)`` is the same again."""
    groups = {name: getattr(settings, name) for name in Settings.model_fields}
    asked = {name: {field: getattr(group, field) for field in group.model_fields_set} for name, group in groups.items()}
    return {name: values for name, values in asked.items() if values}


def change_setting(settings: Settings, name: str, value: Any) -> Settings:
    """The same settings but for one, by its flat name. Raises SettingsError, naming value, place and rule."""
    if name not in FLAT:
        raise SettingsError(f"{name} is no setting; {did_you_mean(name, FLAT)}")
    group, field = FLAT[name].group, FLAT[name].name
    try:
        try:
            changed = getattr(settings, group).changed(**{field: value})
        except SettingsError as error:
            raise error.within((group,)) from None
        return settings.changed(**{group: changed})
    except SettingsError as error:
        said, option = _told(error, {group: {field: value}}, {}, {}, None), f"--{name.replace('_', '-')}"
        raise SettingsError(name + said.removeprefix(option) if said.startswith(option) else said) from None


def _brought_up_to_date(stored: dict[Any, Any], path: str | Path, tell: Callable[[str], object]) -> dict[Any, Any]:
    """A file of before 0.2 as it is meant today: it names settings outside of groups, and thresholds that are gone."""
    notes = stored.get("notes")
    named = cast("dict[Any, Any]", notes) if isinstance(notes, dict) else {}
    gone = [name for name in RETIRED if name in named]
    faults = ["names settings outside of their groups, as files did before version 0.2"] if any(key in FLAT for key in stored) else []
    if gone:
        faults.append(f"names thresholds that there are no more ({', '.join(gone)}), which are passed over")
    if faults:
        tell(
            f"{path} {' and '.join(faults)}; the rest is understood: rt-melody --config {quoted(path)} --print-config "
            "writes it anew"
        )
    return {**stored, "notes": {name: value for name, value in named.items() if name not in gone}} if gone else stored


def _grouped(values: dict[Any, Any], path: str | Path | None) -> Values:
    """By group and name, of groups and flat names."""
    grouped: Values = {}
    for key, value in values.items():
        if key in Settings.model_fields:
            if not isinstance(value, dict):
                raise SettingsError(f"{_written(key, value, path)} cannot be used: it must be a mapping of settings, such as {_example(key)}")
            grouped.setdefault(key, {}).update({str(name): part for name, part in cast("dict[Any, Any]", value).items()})
        elif key in FLAT:
            place = FLAT[key]
            grouped.setdefault(place.group, {})[place.name] = value
        else:
            where = f" in {path}" if path is not None else ""
            raise SettingsError(f"{key}{where} is no setting; {did_you_mean(key, [*Settings.model_fields, *FLAT])}")
    return grouped


def _example(group: str) -> str:
    name, field = next(iter(group_model(group).model_fields.items()))
    return f"{{{name}: {_yaml(field.get_default(call_default_factory=True))}}}"


def _written(key: str, value: Any, path: str | Path | None) -> str:
    return f"{key} {value}" if path is None else f"{key}: {value!r} in {path}"


def _told(error: SettingsError, asked: Values, written: Values, stored: dict[Any, Any], path: str | Path | None) -> str:
    """The sentence of an error, with the value as the user wrote it and where."""
    if len(error.location) < 2:
        return str(error)
    group, name = error.location[:2]
    source = path if name in written.get(group, {}) and name not in asked.get(group, {}) else None
    flat = next((flat for flat, place in FLAT.items() if (place.group, place.name) == (group, name)), None)
    if error.unknown:
        where = f" in {source}" if source is not None else ""
        return f"{group}.{name}{where} is no {'threshold' if group == 'notes' else 'setting'}; {error.rule}"
    if not error.rule:
        return str(error)
    meaning = f" ({error.meaning})" if error.meaning else ""
    return f"{_place(group, name, flat, error.value, asked, stored, source)} cannot be used: {error.rule}{meaning}"


def _place(group: str, name: str, flat: str | None, value: Any, asked: Values, stored: dict[Any, Any], source: str | Path | None) -> str:
    if source is not None:
        return f"{flat if flat in stored else f'{group}.{name}'}: {value if group == 'notes' else repr(value)} in {source}"
    if name not in asked.get(group, {}):
        return f"{flat or name} {value}"
    shown = " ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else repr(value) if value == "" else value
    return f"--notes {name}={shown}" if group == "notes" else f"--{(flat or name).replace('_', '-')} {shown}"


def dump_settings(settings: Settings) -> str:
    """A YAML file that ``--config`` takes: every setting in its group, its meaning beside it. What was not asked for stands
    there by its default, and what then follows from other settings as a comment, so that it goes on following them."""
    lines = ["# rt-melody settings; rt-melody --config FILE reads this."]
    for group, about in Settings.model_fields.items():
        lines += ["", f"{group}:  # {about.description}"]
        held = getattr(settings, group)
        for name, field in group_model(group).model_fields.items():
            if (group, name) in COPIED:
                continue
            asked = name in held.model_fields_set
            value = getattr(held, name) if asked or (group, name) in FOLLOWING else field.get_default(call_default_factory=True)
            sign = "" if asked or (group, name) not in FOLLOWING else "# "
            lines.append(f"{f'  {sign}{name}: {_yaml(value)}':34} # {field.description}")
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    """A value in YAML on one line; text always in quotes, so that no word of it is read as something else, and in ASCII,
    whatever encoding a shell writes it in."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, cast('list[Any]', value)))}]"
    style = '"' if isinstance(value, str) else None
    text = yaml.safe_dump(value, default_style=style, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
