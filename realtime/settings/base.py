"""What all groups of settings have in common: frozen, strict about names, and one sentence for a value that does not fit.

Conventions
-----------
* A field's description is a clause that a user reads: in ``--help``, in the file of ``--print-config``, in an error.
* Units are in the names. A default or a limit stands in the field and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rt_melody.realtime.errors import SettingsError

Model = TypeVar("Model", bound="SettingsModel")

# How a setting takes effect that is changed while a session runs.
NOW, NEXT_NOTE, RESTART = "now", "next note", "restart"

# What pydantic found wrong -> the rule in our words. Placeholders are those of pydantic's context.
NO_TEXT = "it must be text in UTF-8"
RULES = {
    "greater_than": "it must be above {gt:g}",
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than": "it must be below {lt:g}",
    "less_than_equal": "it must be at most {le:g}",
    "finite_number": "it must be a finite number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_parsing_size": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "string_type": "it must be text; put it in quotes",
    "string_too_short": "it must not be empty",
    "literal_error": "it must be one of {expected}",
    "list_type": "it must be a list",
    "too_short": "it must have {min_length} at least",
    "too_long": "it must have {max_length} at most",
    "dict_type": "it must be a mapping of settings, such as {{on_ms: 30}}",
    "model_type": "it must be a mapping of settings, such as {{on_ms: 30}}",
    "osc.list_type": "it must be HOST:PORT or a list of them",
    "input.list_type": "it must be a name or a list of names",
    "input.too_short": "it must name one input at least",
    **{f"velocity_range.{fault}": "it must be auto alone, or two levels such as -45 -6" for fault in ("list_type", "too_short", "too_long", "float_parsing")},
    "value_error": "{error}",
}


class SettingsModel(BaseModel):
    """A group of settings. Raises SettingsError, of one sentence, for a name or a value that cannot be used."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise first_fault(error, type(self)) from None
        except UnicodeEncodeError:  # pydantic's own, where it expects a number or a word of a list
            raise _no_text(values) from None

    def changed(self: Model, **changes: Any) -> Model:
        """The same settings but for ``changes``, checked anew."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**given, **changes})


def option(
    default: Any,
    description: str,
    *,
    flag: str | None = None,
    metavar: str | tuple[str, ...] | None = None,
    writes: str | None = None,
    live: str | None = None,
    **limits: Any,
) -> Any:
    """A field that the command line has too. ``flag``: its name there, where that is another; ``metavar``: the stand-in
    for its value in ``--help``; ``writes``: its value is the path of a file that is written for each input, which ends in
    this, such as ``.csv``; ``live``: whether it may be changed while a session runs, one of ``NOW``, ``NEXT_NOTE`` and
    ``RESTART``; ``limits``: those of ``pydantic.Field``."""
    extra = {"flag": flag, "metavar": metavar, "writes": writes, "live": live}
    return Field(default, description=description, json_schema_extra=cast(Any, extra), **limits)


def _no_text(values: dict[str, Any]) -> SettingsError:
    """Of the value that holds bytes which are no text; Python keeps those of a command line as lone surrogates."""
    *location, value = next(_words_that_are_no_text(values))
    return SettingsError.of(tuple(map(str, location)), value, NO_TEXT)


def _words_that_are_no_text(value: Any) -> Iterator[tuple[Any, ...]]:
    """Each with the names that lead to it."""
    if isinstance(value, dict):
        for name, inner in cast("dict[Any, Any]", value).items():
            yield from ((name, *found) for found in _words_that_are_no_text(inner))
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _words_that_are_no_text(inner)
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        yield (value,)


def first_fault(error: ValidationError, model: type[BaseModel]) -> SettingsError:
    """The first thing that pydantic found, as a SettingsError that knows where it stood."""
    first = error.errors()[0]
    location = tuple(str(part) for part in first["loc"] if isinstance(part, str))
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, SettingsError):  # of a group within, or of a rule that says all
        return inner.within(location)
    name = location[-1] if location else ""
    if first["type"] == "extra_forbidden":
        return SettingsError.of(location, first["input"], did_you_mean(name, model.model_fields), unknown=True)
    field = model.model_fields.get(location[0]) if location else None
    meaning = field.description or "" if field is not None else ""
    return SettingsError.of(location, first["input"], _rule(first, name), meaning)


def _rule(fault: Any, name: str) -> str:
    said = fault["msg"][0].lower() + fault["msg"][1:]
    rule = RULES.get(f"{name}.{fault['type']}") or RULES.get(fault["type"], "{said}")
    return rule.format(said=said, **fault.get("ctx", {}))


def nearest(key: Any, known: Iterable[str]) -> str | None:
    """The known name that ``key`` may be a slip of."""
    return next(iter(get_close_matches(str(key).replace("-", "_"), list(known), n=1)), None)


def did_you_mean(key: Any, known: Iterable[str]) -> str:
    """The way out for a name that is not known: the one that may be meant, or all of them."""
    near = nearest(key, known)
    return f"did you mean {near}?" if near else f"choose from {', '.join(known)}"
