"""The table of synthesisers, what it makes of the options, its page, and the test for ears on a port that remembers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mido
import pytest
from test_sink_midi import FakePort

from rt_melody.realtime.errors import DeviceError, SettingsError
from rt_melody.realtime.midi_bytes import LOUDNESS
from rt_melody.realtime.settings import MidiSettings, synths
from rt_melody.realtime.settings.synths import SYNTHS, find_synth, list_synths, preset
from rt_melody.realtime.sinks.midi_test import CONTROLLERS, SCALE, midi_test

MODES = {"mono", "legato", "bend", "mpe"}
PAGE = Path(__file__).parents[1] / "docs" / "synths.md"


def test_the_page_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == synths.page(), "python -m rt_melody.realtime.settings.synths > docs/synths.md"


def test_the_listing_tells_each_with_its_source():
    listed = list_synths()
    for name, synth in SYNTHS.items():
        (told,) = [part for part in listed.split("\n\n") if part.startswith(f"{name} ")]
        assert synth.title in told and f"source: measured, {synth.version} of Debian 12" in told


@pytest.mark.parametrize("name", SYNTHS)
def test_what_a_preset_says_can_be_said(name):
    for mode in find_synth(name).modes:
        wanted = preset(name, mode)
        said = MidiSettings(mpe=mode == "mpe", bend_range_semitones=wanted.bend_range_semitones, loudness=wanted.loudness)
        assert said.loudness_message in LOUDNESS and said.bend_range == wanted.bend_range_semitones
    assert set(find_synth(name).modes) <= MODES


@pytest.mark.parametrize(
    ("name", "mode", "range_", "loudness"),
    [
        ("zynaddsubfx", "mono", 2, "cc11"),
        ("zynaddsubfx", "bend", 2, "cc11"),  # takes no announcement: as far as it goes by itself
        ("ZynAddSubFX", "legato", 2, "cc11"),
        ("synthv1", "mono", 2.4, "cc7"),
        ("fluidsynth", "mono", 2, "cc11"),
        ("fluidsynth", "bend", 12, "cc11"),
        ("fluidsynth", "mpe", 48, "cc11"),
        ("timidity", "mpe", 24, "cc11"),  # no further than it takes
        ("csound", "mpe", 2, "off"),
        ("setbfree", "mono", 2, "cc11"),
    ],
)
def test_presets_by_hand(name, mode, range_, loudness):
    assert preset(name, mode) == synths.Preset(range_, loudness)


def test_what_is_given_wins():
    assert preset("zynaddsubfx", "bend", 12, "cc7") == synths.Preset(12, "cc7")
    assert preset("fluidsynth", "mpe", bend_range_semitones=24).bend_range_semitones == 24


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("setbfree", "bend", "--mode bend is not for setBfree, which does not bend; use mono or legato"),
        ("setbfree", "mpe", "--mode mpe is not for setBfree, which does not bend"),
        ("zynaddsubfx", "mpe", "--mode mpe is not for ZynAddSubFX, which has one bend .* channel 1 alone; use mono or legato or bend"),
        ("calf", "mpe", "one bend for all channels"),
        ("zynadsubfx", "mono", "'zynadsubfx' is not in the table; did you mean zynaddsubfx"),
        ("moog", "mono", "'moog' is not in the table; choose from zynaddsubfx, yoshimi"),
    ],
)
def test_what_a_synthesiser_cannot_do_is_one_sentence(name, mode, said):
    with pytest.raises(SettingsError, match=said):
        preset(name, mode)


def test_mpe_wants_bends_of_each_channel():
    for synth in SYNTHS.values():
        assert ("mpe" in synth.modes) == (synth.own_bends and synth.channels == "all")
        assert ("bend" in synth.modes) == (synth.bend is not None)


# --- the table against what was measured

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "synths.json"
MEASURED = {row["synthesiser"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]}


@pytest.mark.parametrize("name", SYNTHS)
def test_the_table_says_what_was_measured(name):
    synth, row = SYNTHS[name], MEASURED[name]
    assert synth.version == row["version"]
    assert row["channels"] == synth.channels and row["stops"] == synth.stops
    assert set(row["follows"]) <= {part.strip() for part in re.split("[,;:]", synth.follows.removesuffix(" below 64"))}
    assert synth.loudness == "off" or f"CC {synth.loudness[2:]}" in row["follows"]
    if synth.bend is None:
        assert row["full_bend"] == pytest.approx(0.0, abs=0.1)
        return
    assert row["full_bend"] == pytest.approx(synth.bend, abs=0.05)
    assert (row["after_rpn_7"] == pytest.approx(7.0, abs=0.1)) == (synth.announced >= 7)
    assert row["own_bends"] == synth.own_bends
    assert row["recentres"] == (synth.recentres == "yes")


# --- the test for ears


class Listened(FakePort):
    name = "rt-melody:out"

    def __init__(self, *listeners):
        super().__init__()
        self.answers = list(listeners)

    def listeners(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def heard(port):
    return mido.parse_all(b"".join(port.sent))


def test_all_is_played_and_announced_line_by_line():
    port, told = FakePort(), []
    said = MidiSettings(channel=3, bend_range_semitones=12)
    midi_test(port, lambda line: told.append((line, len(port.sent))), said, lambda seconds: None)
    messages = heard(port)
    assert [m.note for m in messages if m.type == "note_on"][:8] == list(SCALE)
    assert {m.channel for m in messages if m.type in ("note_on", "pitchwheel", "aftertouch")} >= {2}
    bends = [m.pitch for m in messages if m.type == "pitchwheel" and m.channel == 2]
    assert (min(bends), max(bends)) == (-8192, 8191)
    controls = [(m.control, m.value) for m in messages if m.type == "control_change"]
    assert controls[:6] == [(101, 0), (100, 0), (6, 12), (38, 0), (101, 127), (100, 127)]
    notes = [m.note for m in messages if m.type == "note_on"]
    assert notes[8:11] == [60, 72, 48], "the held note, then those that its ends must sound like"
    for number in (2, 7, 11, 74):
        values = [m.value for m in messages if m.type == "control_change" and m.control == number]
        assert values[:2] == [0, 0] and 127 in values
    assert {m.value for m in messages if m.type == "aftertouch"} >= {0, 127}
    lines = [line for line, _ in told]
    assert [line[0] for line in lines if line[0].isdigit()] == [str(i) for i in range(1, 4 + len(CONTROLLERS))]
    assert "12 semitones" in lines[1] and all(name in " ".join(lines) for name in CONTROLLERS)


def test_no_note_is_left_on_however_it_ends():
    for stops_after in range(6):
        port, asked = FakePort(), []
        midi_test(port, lambda line: None, None, lambda seconds: None, lambda: len(asked) >= stops_after or bool(asked.append(1)))
        sounding: set[int] = set()
        for m in heard(port):
            if m.type == "note_on":
                sounding.add(m.note)
            elif m.type == "note_off":
                sounding.discard(m.note)
            elif m.type == "control_change" and m.control == 123 and m.channel == 0:
                sounding.clear()
        assert not sounding


def test_a_port_that_nobody_listens_to_is_one_sentence():
    port, told, waited = Listened([]), [], []
    with pytest.raises(DeviceError, match="nothing is connected to rt-melody:out.*--midi-test PORT"):
        midi_test(port, told.append, None, waited.append)
    assert "connect a synthesiser" in told[0] and sum(waited) == pytest.approx(10.0)
    assert not [m for m in heard(port) if m.type == "note_on"]


def test_one_that_is_connected_meanwhile_is_played():
    port = Listened([], [], ["synth:in"])
    midi_test(port, lambda line: None, None, lambda seconds: None)
    assert [m for m in heard(port) if m.type == "note_on"]


def test_a_port_that_is_lost_amid_the_test_is_one_sentence():
    with pytest.raises(DeviceError, match="takes no messages .unplugged.; connect it again"):
        midi_test(FakePort(fails_after=20), lambda line: None, None, lambda seconds: None)
