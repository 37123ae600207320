"""Kinds of values that several groups of settings share, and how people may write them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any, Union, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StringConstraints, WrapValidator

AUTO = "auto"
BEND_RANGE_MOST_SEMITONES = 48  # what MPE's configuration message sets


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it must not hold a NUL character, which no name of a file or device can have")
    return text


def _file_name(value: Any) -> str:
    """Any name that the system has, also one that is no valid UTF-8."""
    if not isinstance(value, str):
        raise ValueError("it must be text; put it in quotes")
    if not value:
        raise ValueError("it must not be empty")
    return os.path.expanduser(_without_nul(value))  # a shell does so only at the beginning of a word


def off_is_a_word(value: Any) -> Any:
    """YAML 1.1 reads a bare ``off`` as false."""
    return "off" if value is False else value


def one_text(value: Any) -> Any:
    """Words in a list are one text, and so is a number, since some of these may be numbers."""
    if isinstance(value, list):
        return " ".join(map(str, cast("list[object]", value)))
    return off_is_a_word(f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value)


def _one_or_several(value: Any) -> Any:
    return [] if value is None else [value] if isinstance(value, str) else value


def _device(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, str, type(None))):
        raise ValueError("it must be a number or part of a name")
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _auto_or(value: Any, as_range: Callable[[Any], list[float]]) -> Any:
    """The word, as a command line and a file have it, or a pair of numbers."""
    return AUTO if value in (AUTO, [AUTO]) else as_range(value)


def _to_the_cent(semitones: float) -> float:
    """What registered parameter 0 can say; a whole number stays one."""
    cents = round(100 * semitones)
    if abs(100 * semitones - cents) > 1e-6:
        raise ValueError("it must be semitones, to the cent at most")
    return cents // 100 if cents % 100 == 0 else cents / 100


FileName = Annotated[Any, PlainValidator(_file_name)]
Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_without_nul)]
Words = Annotated[Text, BeforeValidator(one_text)]  # such as "D minor", "fixed 90", "-45" or "off"
FileNames = Annotated[list[FileName], BeforeValidator(_one_or_several)]
Texts = Annotated[list[Text], BeforeValidator(_one_or_several)]
Device = Annotated[Union[int, Text, None], BeforeValidator(_device)]
BendRange = Annotated[float, Field(ge=1, le=BEND_RANGE_MOST_SEMITONES), AfterValidator(_to_the_cent)]
RangeOrAuto = Annotated[list[float], Field(min_length=2, max_length=2), WrapValidator(_auto_or)]  # or the word, which types leave out
