"""YAML that is small on paper and large in memory is refused before anything is built; settings are read as ever."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.realtime.settings import yaml_guard
from rt_melody.realtime.settings.yaml_guard import MAX_BYTES, MAX_DEPTH, YamlRefused, load_bounded_yaml

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n".encode() for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "data, said",
    [
        (BOMB, "more than 2000 values"),
        (BOMB.replace(b"[", b"{<<: [").replace(b"]", b"]}"), "more than 2000 values"),
        (b"[" * 3000, "nests 3000 deep"),
        (b"a: " + b"{" * 1000, "nests 1000 deep"),
        (b"- " * 3000, "nests 3000 deep"),
        (("[" * 3000).encode("utf-16"), "nests 3000 deep"),
        (b"\n".join(b" " * i + b"a:" for i in range(40)), "nests more than 16 deep"),
        (b"&a [*a]", "not complete yet"),
        (b"a: *nobody", "not there"),
        (b"a: 1" + b":59" * 3000, "letters"),
        (b"x" * (MAX_BYTES + 1), "bytes"),
        (b"\n" * 30_000, "30000 lines"),
        (b"? \n" * 1500 + b"- 1", None),
    ],
)
def test_what_grows_or_nests_is_refused_before_it_is_built(data, said, monkeypatch):
    monkeypatch.setattr(yaml_guard.yaml, "load", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(YamlRefused if said else (YamlRefused, yaml.YAMLError), match=said):
        load_bounded_yaml(data)


def test_anchors_that_save_some_typing_are_read():
    assert load_bounded_yaml(b"a: &range [-45, -6]\nb: *range\nc: {<<: &m {x: 1}, y: *range}\n") == {
        "a": [-45, -6],
        "b": [-45, -6],
        "c": {"x": 1, "y": [-45, -6]},
    }
    assert load_bounded_yaml("latency_ms: 33.0\n".encode("utf-16")) == {"latency_ms": 33.0}
    assert load_bounded_yaml(b"") is None
    assert load_bounded_yaml(b"a: &usual 5\nb: *usual\n") == {"a": 5, "b": 5}
    assert str(load_bounded_yaml(b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1))) == "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"midi: {}\nnotes: {}\nmidi: {}\n", "names midi twice, the second time in line 3"),
        (b"notes:\n  on_ms: 30\n  on_ms: 40\n", "names on_ms twice, the second time in line 3"),
    ],
)
def test_a_name_that_stands_twice_is_refused_for_the_first_would_be_lost(data, said):
    with pytest.raises(YamlRefused, match=said):
        load_bounded_yaml(data)


def test_a_value_of_ones_own_wins_over_one_that_is_merged_in():
    assert load_bounded_yaml(b"a: &a {x: 1}\nb: {<<: *a, x: 2}\n")["b"] == {"x": 2}


SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
)


@given(SETTINGS)
@settings(max_examples=40)
def test_what_it_takes_it_reads_as_pyyaml_does(value):
    data = yaml.safe_dump(value).encode()
    try:
        assert load_bounded_yaml(data) == yaml.safe_load(data)
    except YamlRefused:
        assert max(map(data.count, (b"[", b"{", b"- ", b"  "))) > 10
