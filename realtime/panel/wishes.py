"""What a page may ask for: a JSON object, of which each member is a wish.

What is none is passed over, whatever it holds, and never costs another wish; why is a sentence for the page that sent it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from rt_melody.realtime.control.desk import ACTIONS, LIVE
from rt_melody.realtime.settings.base import did_you_mean

PARTS, LETTERS = 4, 200  # of a value
LARGEST_NUMBER = 2**53
SHOWN = 60  # letters of what is refused


class Wish(NamedTuple):
    """``fits``: whether a value does; ``rule``: what it must be."""

    fits: Callable[[Any], bool]
    rule: str


def read_wishes(text: str) -> tuple[list[tuple[str, Any]], list[str]]:
    """(what is asked for, each with its value; a sentence for each thing that is passed over)."""
    try:
        asked = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return [], ["a message was passed over: it is no JSON"]
    if not isinstance(asked, dict):
        return [], [f"a message was passed over: it must be an object such as {{\"set\": [\"octave\", 1]}}, and is {_shown(asked)}"]
    wishes: list[tuple[str, Any]] = []
    refused: list[str] = []
    names = [*ACTIONS, *LIVE]
    for what, value in cast("dict[str, Any]", asked).items():
        if what not in WISHES:
            refused.append(f"{_shown(what)} is nothing that the panel does; {did_you_mean(what[:SHOWN], WISHES)}")
        elif not WISHES[what].fits(value):
            refused.append(f"{what} {_shown(value)} was passed over: it must be {WISHES[what].rule}")
        elif what == "set" and value[0] not in names:
            way_out = did_you_mean(value[0][:SHOWN], names)
            refused.append(f"{_shown(value[0])} is nothing that can be changed while it plays; {way_out}")
        else:
            wishes.append((what, value))
    return wishes, refused


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _is_text(value: Any) -> bool:
    """What can be written down anywhere: no half of a surrogate pair."""
    return isinstance(value, str) and len(value) <= LETTERS and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= LARGEST_NUMBER  # which neither infinity nor NaN is


def _is_plain(value: Any) -> bool:
    """A word, a number, or a few of them."""
    if isinstance(value, list):
        parts = cast("list[Any]", value)
        return len(parts) <= PARTS and all(_is_plain(part) and not isinstance(part, list) for part in parts)
    return value is None or _is_number(value) or _is_text(value)


def _is_pair(value: Any, first: Callable[[Any], bool], second: Callable[[Any], bool]) -> bool:
    pair = cast("list[Any]", value)
    return isinstance(value, list) and len(pair) == 2 and first(pair[0]) and second(pair[1])


def _is_take(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST_NUMBER


def _is_setting(value: Any) -> bool:
    return _is_pair(value, _is_text, _is_plain)


def _is_name_of_take(value: Any) -> bool:
    return _is_pair(value, _is_take, _is_text)


def _is_output(value: Any) -> bool:
    return value is None or _is_text(value) or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_NUMBER)


def _is_anything(_: Any) -> bool:
    return True


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


WISHES = {
    "set": Wish(_is_setting, "a name and a value: a word, a number or a few of them"),
    "run": Wish(_is_bool, "true or false"),
    "record": Wish(_is_bool, "true or false"),
    "finish": Wish(_is_anything, "anything"),
    "rename": Wish(_is_name_of_take, "the number of a take and a name"),
    "remove": Wish(_is_take, "the number of a take"),
    "devices": Wish(_is_anything, "anything"),
    "setup": Wish(_is_bool, "true or false"),
    "keep": Wish(_is_text, "a name"),
    "trip": Wish(_is_output, "an output's number or name, or null"),
}
