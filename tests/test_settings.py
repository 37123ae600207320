"""Settings: every one in a file and on the command line, and a sentence for each that does not fit."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings import (
    FLAT,
    VIRTUAL,
    MidiSettings,
    NoteSettings,
    PerformanceSettings,
    Settings,
    dump_settings,
    make_settings,
    read_yaml,
)
from rt_melody.realtime.settings.base import did_you_mean
from rt_melody.realtime.settings.root import group_model

# One value other than the default for every setting, so that none is forgotten by a round trip.
OTHER = {
    "input": ["a.wav", "b, c: #.flac"],
    "device": "USB: 2",
    "rate": 44100,
    "channel": 2,
    "reference": "band.wav",
    "reference_channel": 3,
    "backing": "song.flac",
    "output_device": "Speakers, ALSA",
    "backing_gain_db": -6.5,
    "backing_loop": True,
    "backing_delay": 2.5,
    "jack": True,
    "reconnect": False,
    "jobs": 3,
    "realtime": True,
    "latency_ms": 33.5,
    "light": True,
    "priority": False,
    "stats": 2.5,
    "stats_file": "kept.jsonl",
    "model": "m\u00f6del.pt",
    "trust_model": True,
    "voicing_threshold": 1e-5,
    "f0_min_hz": 100.0,
    "f0_max_hz": 400.0,
    "midi_out": "no",
    "midi_guardian": False,
    "mode": "bend",
    "transpose": -3,
    "octave": 2,
    "a4_hz": 442.5,
    "scale": "f# minor",
    "snap": "30",
    "note_range": ["E2", "72"],
    "gate": "-45",
    "synth": "fluidsynth",
    "channel_out": 16,
    "bend_range": 12,
    "velocity_curve": "fixed 90",
    "velocity_range": [-60.5, -12.0],
    "loudness": "cc11",
    "loudness_curve": "soft",
    "loudness_range": [-40.0, -3.0],
    "brightness": "cc74",
    "brightness_curve": "hard",
    "brightness_range": [200.0, 4000.0],
    "midi_rate": 300, "midi_back_end": "supriya-midi",
    "offset_ms": -20.5,
    "osc": ["[::1]:9000", "localhost:9001"],
    "osc_timetag": "immediately",
    "osc_bundles": False,
    "listen": "keys",
    "listen_device": "Speakers",
    "midi_file": "2024-01-01",
    "tempo_bpm": 99.9,
    "csv": "a\nb\u0007.csv",
    "jsonl": True,
    "jsonl_frames": True,
    "quiet": True,
    "osc_in": "localhost:9002",
    "panel": "7465",
}
NOTES = {"on_ms": 20.0, "bridge_ms": 30.0}


@pytest.fixture
def write(tmp_path):
    """``write(text)``: the path of a YAML file that holds it."""

    def make(text: str) -> str:
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return make


def refusal(options: dict, path: str | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        make_settings(options, path)
    text = str(caught.value)
    assert "\n" not in text and "pydantic" not in text
    return text


# --- round trips


def test_the_table_of_other_values_has_every_setting_and_no_default():
    defaults = Settings()
    assert OTHER.keys() == FLAT.keys()
    assert not [name for name, value in OTHER.items() if defaults.flat(name) == value]


@pytest.mark.parametrize("values", [{}, {**OTHER, "notes": NOTES}], ids=["defaults", "others"])
def test_printed_settings_load_as_the_same_settings(values, write):
    settings = make_settings(values)
    assert make_settings({}, write(dump_settings(settings))) == settings


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_alone_goes_through_a_file(name, write):
    values = {name: OTHER[name]}
    assert make_settings({}, write(yaml.safe_dump(values))) == make_settings(values) != Settings()


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)  # of files and devices


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3), st.floats(1e-9, 2000))
@trials(max_examples=40)
def test_any_text_and_number_survives_the_file(name, inputs, number):
    settings = make_settings({"csv": name, "input": inputs, "latency_ms": number})
    assert Settings(**yaml.safe_load(dump_settings(settings))) == settings


def test_each_line_of_the_printed_file_explains_its_setting():
    lines = dump_settings(Settings()).splitlines()
    for place in FLAT.values():
        assert [line for line in lines if line.startswith(f"  {place.name}:") and line.endswith(f"# {place.field.description}")]


def test_what_the_command_prints_it_also_takes(capsys, write):
    """With every threshold of the note tracker by name; printed again it is the same text."""
    assert main(["--print-config", "--rate", "8000", "--notes", "on_ms=20"]) == 0
    first = capsys.readouterr().out
    stored = yaml.safe_load(first)
    assert stored["source"]["rate"] == 8000 and stored["notes"]["on_ms"] == 20.0 and stored["notes"]["bridge_ms"] == 25.0
    assert main(["--print-config", "--config", write(first)]) == 0
    assert capsys.readouterr().out == first


# --- what else is understood


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("input: song.wav", "input", ["song.wav"]),
        ("loudness: off", "loudness", "off"),  # YAML 1.1 reads a bare off as false
        ("gate: -45", "gate", "-45"),
        ("snap: 12.5", "snap", "12.5"),
        ("velocity_curve: [fixed, 90]", "velocity_curve", "fixed 90"),
        ("note_range: [48, C6]", "note_range", ["48", "C6"]),
        ("brightness_range: [200, 1e3]", "brightness_range", [200.0, 1000.0]),
        ("midi_out: true", "midi_out", VIRTUAL),
        ("midi_out: no", "midi_out", None),
        ("device: 3", "device", 3),
        ("device: '3'", "device", 3),
        ("device: USB 3", "device", "USB 3"),
        ("jsonl: yes", "jsonl", True),
        ("rate: 48000.0", "rate", 48000),
        ("voicing_threshold: 1e-2", "voicing_threshold", 0.01),  # YAML 1.1 reads it as text
        ("latency_ms: 30", "latency_ms", 30.0),
        ("device:", "device", None),
        ("", "input", ["mic"]),
        ("# only a remark\n", "input", ["mic"]),
    ],
)
def test_a_file_may_say(text, name, value, write):
    found = make_settings({}, write(text)).flat(name)
    assert found == value and type(found) is type(value)


def test_a_file_in_the_home_folder_may_be_named_by_its_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")
    settings = make_settings({"csv": "~/a.csv", "midi_file": "a~b.mid"})
    assert (settings.output.csv.replace("\\", "/"), settings.output.midi_file) == ("/home/ada/a.csv", "a~b.mid")


def test_digits_on_the_command_line_are_a_device_number():
    assert make_settings({"device": "12"}).source.device == 12
    assert make_settings({"device": "hw:1"}).source.device == "hw:1"


def test_an_option_wins_over_the_file_and_the_rest_of_the_file_stays(write):
    path = write("rate: 8000\nchannel: 2\nnotes: {on_ms: 20, bridge_ms: 30}\n")
    settings = make_settings({"rate": "44100", "notes": {"on_ms": "50"}}, path)
    assert (settings.source.rate, settings.source.channel, settings.notes.on_ms, settings.notes.bridge_ms) == (44100, 2, 50.0, 30.0)


def test_an_option_can_switch_off_what_the_file_switched_on(capsys, write):
    assert main(["--print-config", "--no-quiet", "--config", write("quiet: true\njsonl: true")]) == 0
    stored = yaml.safe_load(capsys.readouterr().out)
    assert stored["report"]["quiet"] is False and stored["output"]["jsonl"] is True


# --- refusals: the value, the place, the rule


@pytest.mark.parametrize(
    "name, value, rule",
    [
        ("rate", "999", "at least 1000"),
        ("rate", "768001", "at most 768000"),
        ("rate", "44.1", "a whole number"),
        ("rate", "fast", "a whole number"),
        ("rate", "1" * 5000, "a whole number"),
        ("channel", "0", "at least 1"),
        ("latency_ms", "0", "above 0"),
        ("latency_ms", "2001", "at most 2000"),
        ("latency_ms", "nan", "a finite number"),
        ("latency_ms", "soon", "a number"),
        ("voicing_threshold", "1", "below 1"),
        ("voicing_threshold", "-0.1", "above 0"),
        ("f0_min_hz", "0", "above 0"),
        ("f0_max_hz", "inf", "a finite number"),
        ("channel_out", "17", "at most 16"),
        ("bend_range", "0", "at least 1"),
        ("loudness", "loud", "'pressure'"),
        ("tempo_bpm", "1000", "at most 999"),
        ("csv", "", "not be empty"),
        ("osc", "", "not be empty"),
    ],
)
def test_an_option_out_of_range_is_told_with_value_and_rule(name, value, rule):
    text = refusal({name: value})
    assert text.startswith(f"--{name.replace('_', '-')} ")
    assert rule in text and (value in text if value else "''" in text)


@pytest.mark.parametrize(
    "text, said, rule",
    [
        ("rate: 999", "rate: 999", "at least 1000"),
        ("rate: true", "rate: True", "at least 1000"),
        ("channel: 1.5", "channel: 1.5", "a whole number"),
        ("latency_ms: .nan", "latency_ms: nan", "a finite number"),
        ("latency_ms: [30]", "latency_ms: [30]", "a number"),
        ("device: [1, 2]", "device: [1, 2]", "a number or part of a name"),
        ("device: true", "device: True", "a number or part of a name"),
        ("csv: 7", "csv: 7", "quotes"),
        ("quiet: maybe", "quiet: 'maybe'", "true or false"),
        ("input: []", "input: []", "one input"),
        ("input: 7", "input: 7", "a name or a list of names"),
        ("notes: 5", "notes: 5", "on_ms"),
        ("notes: {on_ms: long}", "notes.on_ms: long", "a number"),
        ("source: 5", "source: 5", "a mapping of settings, such as {input: [\"mic\"]}"),
        ("source: {rate: 999}", "source.rate: 999", "at least 1000"),
        ("midi: {channel: 17}", "midi.channel: 17", "at most 16"),
        ("decoder: {leap: 2}", "decoder.leap: 2", "below 1"),
    ],
)
def test_a_value_in_a_file_is_told_with_the_file_and_the_rule(text, said, rule, write):
    path = write(text)
    assert said in (told := refusal({}, path)) and path in told and rule in told


def test_the_place_is_the_option_where_both_say_something(write):
    path = write("rate: 8000\nchannel: 0")
    assert path not in refusal({"rate": "1", "channel": "1"}, path)
    assert f"channel: 0 in {path}" in refusal({"rate": "9000"}, path)
    path = write("notes: {on_ms: 20}")
    assert "--notes on_ms=x " in refusal({"notes": {"on_ms": "x"}}, path)


def test_an_input_without_a_name_is_refused():
    assert "--input '' cannot be used: it must not be empty" in refusal({"input": ["a.wav", ""]})


def test_a_pitch_range_that_does_not_ascend_names_both_ends(write):
    told = refusal({"f0_min_hz": "500"}, write("f0_max_hz: 400"))
    assert "500 Hz" in told and "400 Hz" in told and "--f0-min-hz" in told and "--f0-max-hz" in told
    assert "55 Hz" in refusal({"f0_max_hz": "55"})


@pytest.mark.parametrize(
    "key, guess",
    [
        ("latency", "latency_ms"),
        ("latency-ms", "latency_ms"),
        ("midi-out", "midi_out"),
        ("frobnicate", "choose from source, tracking"),
        ("3", "choose from"),
    ],
)
def test_an_unknown_key_is_told_with_the_file_and_a_guess(key, guess, write):
    path = write(f"rate: 8000\n{key}: 1")
    told = refusal({}, path)
    assert told.startswith(f"{key} in {path} is no setting") and guess in told


def test_an_unknown_name_is_guessed_only_where_one_is_near():
    assert did_you_mean("bridge", ["on_ms", "bridge_ms"]) == "did you mean bridge_ms?"
    assert did_you_mean("colour", ["on_ms", "bridge_ms"]) == "choose from on_ms, bridge_ms"


@pytest.mark.parametrize("text, kind", [("- mic\n- demo", "a list"), ("rate", "one value"), ("44100", "one value")])
def test_yaml_that_is_no_mapping(text, kind, write):
    assert f"holds {kind}, not a mapping" in refusal({}, write(text))


@pytest.mark.parametrize(
    "text, line",
    [
        ("rate: 8000\nchannel: [1", "line 2"),
        ("rate: 8000\n\tchannel: 1", "line 2"),
        ("rate: 1\n---\nrate: 2\n", "line 2"),
        ("csv: !!python/object:os.system x", "line 1"),
        ("midi_file: 2024-13-45", ""),  # no such date: PyYAML lets a ValueError through
        ("rate: !!int ''", ""),  # and here an IndexError
    ],
)
def test_broken_yaml(text, line, write):
    path = write(text)
    told = refusal({}, path)
    assert told.startswith(path) and line in told and "is not YAML" in told and "--print-config" in told


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(bytes(range(256)))
    assert "is not YAML" in refusal({}, str(path))


def test_a_missing_file_and_a_folder(tmp_path):
    assert "No such file" in refusal({}, str(tmp_path / "none.yaml"))
    assert "directory" in refusal({}, str(tmp_path))


def test_an_empty_file_is_an_empty_mapping(write):
    assert read_yaml(write("")) == {}


# --- thresholds of the note tracker, which the command checks


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["on_ms"], "--notes on_ms has no value"),
        (["on_ms=x"], "--notes on_ms=x cannot be used: it must be a number"),
        (["on_ms=nan"], "it must be a finite number"),
        (["on_ms=0"], "--notes on_ms=0 cannot be used: it must be above 0"),
        (["on=3"], "notes.on is no threshold"),
        (["bridge=3"], "notes.bridge is no threshold; did you mean bridge_ms?"),
        (["on_ms=3", "=3"], "notes. is no threshold"),
    ],
)
def test_a_threshold_that_does_not_fit(arguments, said, capsys):
    assert main(["--print-config", "--notes", *arguments]) == 2
    out, told = capsys.readouterr()
    assert out == "" and said in told


def test_an_unknown_threshold_in_a_file_names_the_file(write, capsys):
    path = write("notes: {bridge: 3}")
    assert main(["--print-config", "--config", path]) == 2
    assert f"notes.bridge in {path} is no threshold; did you mean bridge_ms?" in capsys.readouterr().err


# --- groups


def test_flat_names_are_unique_and_lead_to_their_settings():
    flat = [
        flag
        for group in Settings.model_fields
        if group != "notes"
        for name, field in group_model(group).model_fields.items()
        if (flag := (field.json_schema_extra["flag"], name)[field.json_schema_extra["flag"] is None])
    ]
    assert sorted(flat) == sorted(FLAT) and len(set(flat)) == len(flat)
    assert not set(FLAT) & set(Settings.model_fields), "a group of that name could not be told from it"
    assert (FLAT["channel_out"].group, FLAT["channel_out"].name) == ("midi", "channel")


def test_a_file_of_groups_and_a_flat_one_say_the_same(write):
    flat = make_settings({}, write("rate: 8000\nmode: bend\nmidi_rate: 300\nnotes: {on_ms: 20}\n"))
    assert (
        make_settings({}, write("source: {rate: 8000}\nperformance: {mode: bend}\nmidi: {bytes_per_s: 300}\nnotes: {on_ms: 20}\n")) == flat
    )


def test_a_flat_file_is_told_how_to_become_one_of_groups(capsys, write):
    path = write("rate: 8000\nmode: bend\n")
    assert main(["--print-config", "--config", path]) == 0
    out, err = capsys.readouterr()
    assert path in err and "--print-config" in err and yaml.safe_load(out)["performance"]["mode"] == "bend"
    assert main(["--print-config", "--config", write(out)]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_that_0_1_printed_still_loads(capsys, write):
    """With the thresholds of then, of which some are no more: those are named and passed over, the others hold."""
    path = write("rate: 8000\nmode: \"bend\"\nnotes:\n  on_ms: 20.0\n  min_note_ms: 60.0\n  room_ms: 1000.0\n")
    assert main(["--print-config", "--config", path]) == 0
    out, err = capsys.readouterr()
    stored = yaml.safe_load(out)
    assert (stored["source"]["rate"], stored["notes"]["on_ms"]) == (8000, 20.0) and "min_note_ms" not in stored["notes"]
    assert "min_note_ms, room_ms" in err and "passed over" in err and err.count("\n") == 1


def test_a_group_made_by_itself_is_checked_as_in_the_whole():
    with pytest.raises(SettingsError, match="channel 17 cannot be used: it must be at most 16"):
        MidiSettings(channel=17)
    with pytest.raises(SettingsError, match="chanel is no setting; did you mean channel"):
        MidiSettings(**{"chanel": 1})
    notes = NoteSettings(on_ms=20).changed(bridge_ms=30)
    assert (notes.on_ms, notes.bridge_ms) == (20, 30)
    with pytest.raises(SettingsError, match="on_ms -1 cannot be used"):
        notes.changed(on_ms=-1)


# --- what follows from other settings goes on following them


@pytest.mark.parametrize(
    ("first", "then", "drift"),
    [
        ({"bend_range": 1}, {"bend_range": 12}, 1.9),
        ({}, {"bend_range": 1}, 0.9),
        ({"notes": {"drift_semitones": 1.5}}, {"bend_range": 1}, 1.5),
    ],
)
def test_a_printed_file_does_not_hold_fast_what_was_derived(first, then, drift, write):
    path = write(dump_settings(make_settings(first)))
    assert make_settings(then, path) == make_settings({**first, **then})
    assert make_settings(then, path).notes.drift_semitones == pytest.approx(drift)


def test_another_synthesiser_over_a_printed_file_gets_what_suits_it(write):
    path = write(dump_settings(make_settings({"synth": "synthv1"})))
    assert make_settings({"synth": "fluidsynth"}, path) == make_settings({"synth": "fluidsynth"})
    assert make_settings({"synth": "fluidsynth"}, path) != make_settings({"synth": "synthv1"}).changed(), "they differ in bend range"


# --- rules between groups


@pytest.mark.parametrize(
    ("options", "drift"),
    [({}, 1.9), ({"bend_range": 1}, 0.9), ({"bend_range": 12}, 1.9), ({"bend_range": 1, "notes": {"drift_semitones": 1.5}}, 1.5)],
)
def test_what_a_synthesiser_cannot_bend_to_is_another_note(options, drift):
    settings = make_settings(options)
    assert settings.notes.drift_semitones == pytest.approx(drift)
    wide = settings.changed(performance=PerformanceSettings(bend_range=24))
    assert wide.notes.drift_semitones == pytest.approx(drift if "notes" in options else 1.9), "nobody had asked for less"


@pytest.mark.parametrize(
    ("options", "bend_range", "loudness"),
    [
        ({"synth": "synthv1"}, 2.4, "cc7"),  # measured: it takes no announcement
        ({"synth": "synthv1", "mode": "bend"}, 2.4, "cc7"),
        ({"synth": "fluidsynth", "mode": "bend"}, 12, "cc11"),
        ({"synth": "fluidsynth", "mode": "mpe"}, 48, "cc11"),
        ({"synth": "fluidsynth", "bend_range": 7, "loudness": "off"}, 7, "off"),
    ],
)
def test_a_synthesiser_that_is_named_is_told_what_it_understands(options, bend_range, loudness):
    settings = make_settings(options)
    assert (settings.midi.bend_range, settings.midi.loudness_message, settings.midi.brightness_message) == (bend_range, loudness, "off")
    assert settings.performance.bend_range_semitones == bend_range
    plain = settings.changed(midi=MidiSettings(channel=3))
    assert plain.midi.bend_range == options.get("bend_range", 48 if settings.performance.mpe else 2), "nothing of the preset is left"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"synth": "zynadsubfx"}, "'zynadsubfx' is not in the table; did you mean zynaddsubfx"),
        ({"synth": "zynaddsubfx", "mode": "mpe"}, "--mode mpe is not for ZynAddSubFX, which has one bend for all channels"),
        ({"synth": "setbfree", "mode": "bend"}, "--mode bend is not for setBfree, which does not bend; use mono or legato"),
    ],
)
def test_a_mode_that_the_synthesiser_cannot_do_is_refused(options, said):
    assert said in refusal(options)


@pytest.mark.parametrize(
    ("options", "mpe", "bend_range", "loudness", "brightness"),
    [
        ({}, False, 2, "off", "off"),
        ({"mode": "mpe"}, True, 48, "pressure", "cc74"),
        ({"mode": "mpe", "bend_range": 24, "loudness": "off"}, True, 24, "off", "cc74"),
        ({"mode": "bend", "bend_range": 12, "brightness": "cc74"}, False, 12, "off", "cc74"),
    ],
)
def test_midi_follows_the_performance(options, mpe, bend_range, loudness, brightness):
    midi = make_settings(options).midi
    assert (midi.mpe, midi.bend_range, midi.loudness_message, midi.brightness_message) == (mpe, bend_range, loudness, brightness)


@pytest.mark.parametrize("words", [{"octave": "\udcff"}, {"scale": "\udcff"}, {"osc": ["a:1", "\udcff"]}, {"notes": {"on_ms": "\udcff"}}])
def test_bytes_that_are_no_text_are_refused_and_file_names_may_be_so(words):
    """As Python keeps what it cannot decode of a command line."""
    with pytest.raises(SettingsError, match="must be text in UTF-8"):
        make_settings(words)
    assert make_settings({"csv": "\udcff.csv"}).output.csv == "\udcff.csv"
