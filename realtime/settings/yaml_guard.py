"""YAML of an unknown origin, read at a cost that its length bounds.

PyYAML builds whatever it is told to: a few lines of anchors that name each other stand for millions of nodes, and a line
of brackets keeps its scanner busy for seconds. No settings need either, so the events are counted before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_BYTES = 32 * 1024  # the file of all settings with its comments has 10 kB
MAX_LINES = 2_000
MAX_DEPTH = 16
MAX_NODES = 2_000  # with every alias written out
MAX_SCALAR = 4096  # letters of one value
INDICATORS_OF_DEPTH = 64  # open brackets, or entries begun on one line, whatever they stand in


class YamlRefused(ValueError):
    """YAML that grows or nests beyond what settings need; the message is half a sentence: what it does, and the rule."""


class _OnceEach(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which PyYAML would take the last and say nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<, which SafeLoader writes out next
                continue
            key: Any = self.construct_object(key_node, deep=True)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if key in keys:
                raise YamlRefused(f"it names {key} twice, the second time in line {key_node.start_mark.line + 1}; keep one")
            keys.append(key)
        return super().construct_mapping(node, deep=deep)


def load_bounded_yaml(data: bytes) -> Any:
    """What ``yaml.safe_load`` makes of ``data`` (of which it finds out the encoding, be it UTF-16).

    Raises YamlRefused for what is too long, too deep or multiplies itself, and what PyYAML raises for what is no YAML.
    """
    if len(data) > MAX_BYTES:
        raise YamlRefused(f"it has more than {MAX_BYTES} bytes, which no settings have")
    lines = data.replace(b"\0", b"").splitlines()  # of UTF-16 the half that matters
    if len(lines) > MAX_LINES:
        raise YamlRefused(f"it has {len(lines)} lines, and settings at most {MAX_LINES}")
    _refuse_stacks(lines)
    _count(data)
    return yaml.load(data, Loader=_OnceEach)  # a SafeLoader


def _refuse_stacks(lines: list[bytes]) -> None:
    """Before the scanner sees them: its work grows with the square of what is open on a line."""
    deepest = depth = 0
    for byte in b"".join(lines):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth = max(0, depth - 1)
    entries = max((sum(map(line.count, (b"- ", b"? ", b"-\t", b"?\t", b": "))) for line in lines), default=0)
    if max(deepest, entries) > INDICATORS_OF_DEPTH:
        raise YamlRefused(f"it nests {max(deepest, entries)} deep, and settings at most {MAX_DEPTH}")


def _events(data: bytes) -> Iterator[yaml.Event]:
    return yaml.parse(data, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # typeshed gives this function no types


def _count(data: bytes) -> None:
    """The size of every node with its aliases written out, event by event."""
    weights: dict[str, int] = {}  # of the anchors whose nodes are complete
    open_nodes: list[tuple[str | None, int]] = []  # anchor of each, and the nodes counted before it
    count = 0
    for event in _events(data):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in weights:
                raise YamlRefused(f"*{event.anchor} names what is not complete yet, or not there; write the value itself")
            count += weights[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > MAX_SCALAR:
                raise YamlRefused(f"it holds a value of {len(event.value)} letters, and settings at most {MAX_SCALAR}")
            count += 1
            if event.anchor:
                weights[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
            if len(open_nodes) > MAX_DEPTH:
                raise YamlRefused(f"it nests more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                weights[anchor] = count - before
        if count > MAX_NODES:
            raise YamlRefused(f"it holds more than {MAX_NODES} values, aliases written out; settings need fewer")
