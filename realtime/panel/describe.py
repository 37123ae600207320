"""The settings that can be changed while it plays, as the page needs them to make controls: from their declarations alone."""

from __future__ import annotations

from typing import Any, get_args

from rt_melody.realtime.control.desk import LIVE
from rt_melody.realtime.playing.scale import DEGREES
from rt_melody.realtime.settings import FLAT
from rt_melody.realtime.settings.root import Place
from rt_melody.realtime.settings.synths import SYNTHS
from rt_melody.realtime.types import PITCH_CLASSES


def describe() -> dict[str, Any]:
    """By flat name: what it means, when it takes effect, choices, limits. And the words that scales are made of."""
    settings = {name: _control(FLAT[name]) for name in LIVE}
    settings["synth"]["choices"] = [None, *sorted(SYNTHS)]
    return {"settings": settings, "tonics": list(PITCH_CLASSES), "scales": list(DEGREES)}


def _control(place: Place) -> dict[str, Any]:
    field = place.field
    rules = [*field.metadata, *(rule for kind in get_args(field.annotation) for rule in _rules(kind))]
    limits = {name: getattr(rule, name) for rule in rules for name in ("ge", "le", "gt", "lt") if getattr(rule, name, None) is not None}
    default = field.get_default(call_default_factory=True)
    return {
        "meaning": field.description, "live": place.live, "choices": _choices(field.annotation), "limits": limits, "default": default,
        "kind": "bool" if field.annotation is bool else "number" if isinstance(default, (int, float)) else "text",
    }  # fmt: skip


def _rules(kind: Any) -> list[Any]:
    """What an annotated kind says of its values, such as ``BendRange`` of its own."""
    return [one for rule in getattr(kind, "__metadata__", ()) for one in getattr(rule, "metadata", [rule])]


def _choices(annotation: Any) -> list[Any] | None:
    """Of ``Literal`` and ``Optional[Literal]``; None where any value may be."""
    kinds = [annotation, *get_args(annotation)]
    found = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    return ([None] if type(None) in kinds else []) + found if found else None
