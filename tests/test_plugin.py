"""The engine behind the plugin, and ``rt-melody plugin``, without a host: the other side of the memory is a fake."""

from __future__ import annotations

import os
import sys
import tempfile
from math import nan
from pathlib import Path

import numpy as np
import pytest

if not hasattr(os, "memfd_create"):
    pytest.skip("the fake shell is made for Linux", allow_module_level=True)

from fake_plugin import FakeShell, chord, parameters, tracked

from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import DeviceError, OutputError
from rt_melody.realtime.plugin import building, installing
from rt_melody.realtime.plugin.host import PluginEngine
from rt_melody.realtime.plugin.memory import LAYOUT, Shared, read_header
from rt_melody.realtime.plugin.parameters import is_mute, settings_of
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16_000


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return demo_phrase(RATE).samples[: 4 * RATE]


@pytest.fixture(scope="module")
def whole(song) -> list[tuple[int, bytes]]:
    return tracked(song, RATE)


@pytest.fixture
def shell():
    fake = FakeShell()
    yield fake
    fake.close()


def engine_of(shell: FakeShell) -> PluginEngine:
    engine = PluginEngine(shell.shared(), 0)
    engine._begin()
    return engine


def on(messages):
    return [message for message in messages if message[-1][0] & 0xF0 == 0x90]


# ---- the header


def test_a_header_is_read_line_by_line(tmp_path):
    path = tmp_path / "x.h"
    path.write_text("enum A {\n    RTM_ONE = 1, // RTM_TWO = 2, in words\n    RTM_SIX = 0x10,\n};\n#define RTM_NO 3\n")
    assert read_header(path) == {"ONE": 1, "SIX": 16}


def test_no_word_stands_on_another():
    words = dict(list(LAYOUT.items())[list(LAYOUT).index("MAGIC") : list(LAYOUT).index("STARTING")])
    taken = {LAYOUT["PARAMETERS"] + n for n in range(LAYOUT["PARAMETER_COUNT"])}
    taken |= {LAYOUT["TEXT"] + n for n in range(LAYOUT["TEXT_BYTES"] // 8)}
    single = [place for name, place in words.items() if name not in ("PARAMETERS", "TEXT")]
    assert len(set(single)) == len(single) and not taken & set(single) and max(taken) < LAYOUT["WORDS"]


# ---- memory that is none of ours


def test_memory_that_is_too_small_is_refused():
    descriptor = os.memfd_create("small")
    os.ftruncate(descriptor, 4096)
    with pytest.raises(DeviceError, match="holds 4096 bytes"):
        Shared(descriptor)
    os.close(descriptor)


def test_a_descriptor_that_is_closed_is_refused():
    with pytest.raises(DeviceError, match="descriptor 9999 is no memory"):
        Shared(9999)


def test_memory_of_another_program_is_refused(shell):
    os.pwrite(shell.descriptor, b"\0" * 8, 0)
    with pytest.raises(DeviceError, match="not made by the rt-melody plugin"):
        shell.shared()


def test_memory_of_another_version_is_refused():
    fake = FakeShell(version=LAYOUT["VERSION_VALUE"] + 1)
    with pytest.raises(DeviceError, match="another version"):
        fake.shared()
    fake.close()


# ---- parameters


@pytest.mark.parametrize(
    "changed, option, value",
    [
        ({"MODE": 3.0}, "mode", "mpe"),
        ({"BEND_RANGE": 12.0}, "bend_range", 12),
        ({"SCALE": 4.0, "TONIC": 2.0}, "scale", "D minor"),
        ({"SCALE": 1.0, "TONIC": 2.0}, "scale", "auto"),
        ({"SNAP": 30.0}, "snap", "30"),
        ({"SNAP": 0.0}, "snap", "off"),
        ({"SNAP": 100.0}, "snap", "hard"),
        ({"GATE": 2.0, "GATE_DB": -30.5}, "gate", "-30.5"),
        ({"BOUND": 20.0}, "latency_ms", 20.0),
        ({"LIGHT": 1.0}, "light", True),
        ({"LIGHT": nan}, "light", False),
        ({"LOWEST": 48.0, "HIGHEST": 72.0}, "note_range", ["48", "72"]),
        ({"MODE": nan}, "mode", "mono"),
        ({"TRANSPOSE": nan}, "transpose", 0),
    ],
)
def test_a_parameter_is_a_setting(changed, option, value):
    assert settings_of(parameters(**changed)).flat(option) == value


def test_a_range_that_ends_below_its_beginning_holds_no_note():
    assert is_mute(parameters(LOWEST=60.0, HIGHEST=59.0)) and not is_mute(parameters(LOWEST=60.0, HIGHEST=60.0))


# ---- the engine


@pytest.mark.parametrize("sizes", [(160,), (64, 1000, 1)])
def test_in_blocks_of_any_size_it_plays_what_the_tracker_plays(shell, song, whole, sizes):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    done, got = 0, []
    while done < len(song):
        for size in sizes:
            shell.write(song[done : done + size])
            done += size
            engine._catch_up()
            got += shell.events()
    assert [(position, message) for position, _, message in got] == whole
    assert shell.get("PROCESSED") == shell.get("WRITTEN") == len(song) and shell.get("SKIPS") == 0


def test_a_band_at_the_side_chain_is_taken_out(shell, song, whole):
    engine, band = engine_of(shell), chord(len(song), RATE)
    shell.offline()
    shell.begin_stream(RATE)
    for start in range(0, len(song), 500):
        shell.write((song + band)[start : start + 500], band[start : start + 500])
        engine._catch_up()
    got = [(position, message) for position, _, message in shell.events()]
    assert got == tracked(song + band, RATE, band) != tracked(song + band, RATE)
    sung, played, deaf = ({m[1] for _, m in on(events)} for events in (whole, got, tracked(song + band, RATE)))
    assert played == sung != deaf


@pytest.mark.parametrize("rate, size", [(8_000, 100), (RATE, 64), (44_100, 128), (48_000, 128), (48_000, 1000)])
def test_an_engine_that_is_woken_when_it_said_plays_each_event_in_the_block_by_which_it_is_known(shell, rate, size):
    sound = demo_phrase(rate).samples[: 3 * rate // 2]
    engine, calls, got = engine_of(shell), 0, []
    shell.begin_stream(rate)
    engine._catch_up()
    for start in range(0, len(sound) - size, size):
        assert engine._is_idle()
        shell.write(sound[start : start + size])
        if shell.get("WRITTEN") >= shell.get("DUE"):
            calls += 1
            engine._catch_up()
        new = [(position, message) for position, _, message in shell.events()]
        assert all(start < position <= start + size for position, _ in new if position)
        got += new
    want = tracked(sound[: shell.get("READ")], rate)
    assert got == want and on(want) and shell.get("SKIPS") == 0
    assert calls <= 150  # hops in a second and a half


def test_an_engine_does_not_sleep_while_there_is_something_to_do(shell, song):
    engine = engine_of(shell)
    shell.begin_stream(RATE)
    assert not engine._is_idle()  # a command waits
    engine._catch_up()
    assert engine._is_idle() and shell.get("DUE") == 160
    shell.write(song[:159])
    assert engine._is_idle()
    shell.write(song[159:160])
    assert not engine._is_idle()
    engine._catch_up()
    assert engine._is_idle() and shell.get("DUE") == 320
    shell.set("TRANSPOSE", 12.0)
    assert not engine._is_idle()


def test_what_the_host_has_not_waited_for_is_skipped_live_and_the_note_ends(shell, song):
    engine = engine_of(shell)
    shell.begin_stream(RATE)
    for start in range(0, RATE, 160):
        shell.write(song[start : start + 160])
        engine._catch_up()
    assert on(shell.events())
    shell.write(song[RATE : 2 * RATE])
    engine._catch_up()
    assert shell.get("SKIPS") == 1 and shell.get("READ") == 2 * RATE
    assert shell.events()[-1][2][0] & 0xF0 in (0x80, 0xE0)


def test_a_parameter_counts_from_the_sample_at_which_it_was_set(shell, song):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song[: 2 * RATE])
    shell.set("TRANSPOSE", 12.0)
    shell.write(song[2 * RATE :])
    engine._catch_up()
    struck = [(position, message[1]) for position, _, message in on(shell.events())]
    plain = [(position, message[1]) for position, message in on(tracked(song, RATE))]
    assert [note for at, note in struck if at <= 2 * RATE] == [note for at, note in plain if at <= 2 * RATE]
    later = [note for at, note in struck if at > 2 * RATE + 200]
    assert later and later == [note + 12 for at, note in plain if at > 2 * RATE + 200]


def test_a_new_bound_changes_the_latency_and_the_stream_goes_on(shell, song):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song[:RATE])
    engine._catch_up()
    before = shell.get("LATENCY")
    shell.events()
    shell.set("BOUND", 20.0)
    shell.write(song[RATE:])
    engine._catch_up()
    assert shell.get("LATENCY") <= 20 * RATE // 1000 < before
    positions = [position for position, _, _ in shell.events()]
    assert positions == sorted(positions) and positions[-1] > 3 * RATE


def test_the_light_model_hears_from_where_it_is_asked_for_and_the_stream_goes_on(shell, song):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song[:RATE])
    shell.set("LIGHT", 1.0)
    shell.write(song[RATE : 2 * RATE])
    shell.set("LIGHT", 0.0)
    shell.write(song[2 * RATE :])
    engine._catch_up()
    got = [(position, message) for position, _, message in shell.events()]
    usual, light = tracked(song[:RATE], RATE), tracked(song, RATE, light=True)
    assert got[: len(usual)] == usual
    assert got != tracked(song, RATE) and light != tracked(song, RATE)
    assert set(engine._models) == {None, "light"} and on(got)


def begun_light(song) -> tuple[FakeShell, PluginEngine]:
    """Both after the song, the light model asked for from the start on."""
    fake = FakeShell(LIGHT=1.0)
    engine = engine_of(fake)
    fake.offline()
    fake.begin_stream(RATE)
    fake.write(song)
    engine._catch_up()
    return fake, engine


def test_an_engine_that_starts_with_the_light_model_loads_no_other(song):
    fake, engine = begun_light(song)
    assert [(position, message) for position, _, message in fake.events()] == tracked(song, RATE, light=True)
    assert set(engine._models) == {"light"}
    fake.close()


@pytest.fixture
def damaged_light(monkeypatch, tmp_path) -> Path:
    """In the light model's place."""
    path = tmp_path / "light.pt"
    path.write_bytes(SHIPPED_MODELS["light"].read_bytes()[:-500])
    monkeypatch.setitem(SHIPPED_MODELS, "light", path)
    return path


def test_a_light_model_that_cannot_be_used_is_told_and_the_model_of_before_hears_on(shell, song, damaged_light, capsys):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song[:RATE])
    engine._catch_up()
    shell.set("LIGHT", 1.0)
    shell.write(song[RATE : 2 * RATE])
    engine._catch_up()
    said = capsys.readouterr().err
    assert said.count(str(damaged_light)) == 1 and "until then the voice is heard with the model of before" in said
    shell.set("TRANSPOSE", 12.0)
    shell.write(song[2 * RATE : 3 * RATE])
    shell.set("LIGHT", 0.0)
    shell.write(song[3 * RATE :])
    engine._catch_up()
    assert capsys.readouterr().err == "" and shell.get("ENGINE_STATE") == LAYOUT["READY"] and set(engine._models) == {None}
    struck = [(position, message[1]) for position, _, message in on(shell.events())]
    sung = {message[1] for _, message in on(tracked(song, RATE))}
    assert {note for at, note in struck if RATE < at < 2 * RATE} <= sung
    for second in (1, 2, 3):
        assert [note for at, note in struck if second * RATE < at], f"mute from second {second} on"


def test_an_engine_that_starts_with_a_light_model_that_cannot_be_used_hears_with_the_usual_one(song, whole, damaged_light, capsys):
    fake, _ = begun_light(song)
    assert [(position, message) for position, _, message in fake.events()] == whole
    said = capsys.readouterr().err
    assert str(damaged_light) in said and "until then the voice is heard with the usual model" in said
    fake.close()


def test_with_a_bound_that_cannot_be_met_other_parameters_change_no_more_than_with_another(shell, song, capsys):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(1_000)
    shell.set("BOUND", 15.0)
    engine._catch_up()
    tracker = engine._tracker
    assert "give --latency-ms 22 or more; until then it is 50 ms\n" in capsys.readouterr().err
    shell.set("TRANSPOSE", 12.0)
    engine._catch_up()
    assert engine._tracker is tracker is not None and capsys.readouterr().err == ""


def test_an_empty_range_ends_the_note_and_plays_none(shell, song):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song[:RATE])
    shell.set("LOWEST", 60.0)
    shell.set("HIGHEST", 50.0)
    shell.write(song[RATE:])
    engine._catch_up()
    late = [message for position, _, message in shell.events() if position > RATE + 1 and message[0] & 0xF0 in (0x80, 0x90)]
    assert [message for message in late if message[0] & 0xF0 == 0x90] == []


def test_a_new_stream_of_another_rate_begins_at_its_own_second_0(shell, song, whole):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(48_000)
    shell.write(np.zeros(9_000, np.float32))
    shell.begin_stream(RATE)
    shell.write(song)
    engine._catch_up()
    assert [(position - 9_000, message) for position, stream, message in shell.events() if stream == 2] == whole


def test_an_engine_that_starts_in_the_middle_knows_what_holds(song):
    fake = FakeShell(TRANSPOSE=12.0)
    fake.offline()
    fake.begin_stream(RATE)
    fake.write(song)
    engine = engine_of(fake)
    engine._catch_up()
    assert [message[1] for _, _, message in on(fake.events())] == [message[1] + 12 for _, message in on(tracked(song, RATE))]
    fake.close()


def test_commands_that_were_lost_are_made_up_for(shell, song):
    engine = engine_of(shell)
    shell.begin_stream(RATE)
    shell._word(LAYOUT["PARAMETERS"] + LAYOUT["PARAMETER_TRANSPOSE"], 0x41400000)  # 12.0, of which no command told
    shell._set("COMMANDS_LOST", 1)
    engine._catch_up()
    assert engine._settings.performance.transpose == 12


@pytest.mark.parametrize("rate", [0, 500, 999_999])
def test_a_rate_that_no_sound_has_is_told_and_the_next_stream_plays(shell, song, rate, capsys):
    engine = engine_of(shell)
    shell.begin_stream(rate)
    shell.write(np.zeros(512, np.float32))
    engine._catch_up()
    assert shell.get("ENGINE_STATE") == LAYOUT["FAILED"] and shell.get("PROCESSED") == 512
    assert str(rate) in capsys.readouterr().err
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(song)
    engine._catch_up()
    assert shell.get("ENGINE_STATE") == LAYOUT["READY"] and on(shell.events())


def test_sound_that_is_not_finite_is_silence(shell):
    engine = engine_of(shell)
    shell.offline()
    shell.begin_stream(RATE)
    shell.write(np.full(RATE, nan, np.float32))
    engine._catch_up()
    assert on(shell.events()) == []


def test_it_ends_with_the_pipe_that_wakes_it(shell):
    reader, writer = os.pipe()
    engine = PluginEngine(shell.shared(), reader)
    os.write(writer, b"x")
    assert engine._is_woken()
    os.close(writer)
    assert not engine._is_woken()
    os.close(reader)


# ---- the command


@pytest.mark.parametrize(
    "words, said",
    [
        (["instal"], "must be install, uninstall or check"),
        (["install", "--formats"], "--formats names none"),
        (["install", "vst"], "vst cannot be used"),
        (["install", "--formats", "au"], "au cannot be used"),
        (["check", "lv2"], "takes no lv2"),
        (["host"], "the plugin itself starts it"),
        (["host", "3", "x"], "the plugin itself starts it"),
        (["host", "99998", "99999"], "no memory that can be shared"),
    ],
)
def test_words_that_cannot_be_used_are_told(words, said, capsys):
    assert main(["plugin", *words]) == 2
    assert said in capsys.readouterr().err


def test_help_names_the_words(capsys):
    assert main(["plugin", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{word}" in said for word in ("install", "uninstall", "check"))


# ---- installing


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(installing, "build", built)
    return tmp_path


def built(kind: str, folder: Path) -> Path:
    bundle = folder / building.bundle_name(kind)
    if kind == "clap":
        bundle.write_text("code")
    else:
        bundle.mkdir()
        (bundle / "code").write_text("code")
    return bundle


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the places are Linux's")
def test_it_is_put_where_hosts_look_and_removed_again(home):
    told: list[str] = []
    for _ in range(2):  # over an older one
        installing.install(["lv2", "clap"], False, told.append)
    assert (home / ".lv2" / "rt-melody.lv2" / "code").exists() and (home / ".clap" / "rt-melody.clap").is_file()
    assert sorted(p.name for p in (home / ".lv2").iterdir()) == ["rt-melody.lv2"]
    assert installing.installed("lv2") == home / ".lv2" / "rt-melody.lv2"
    installing.uninstall(building.FORMATS, False, told.append)
    installing.uninstall(building.FORMATS, False, told.append)
    assert list((home / ".lv2").iterdir()) == list((home / ".clap").iterdir()) == []
    assert told[-1] == "no plugin of ours is installed for you"


def test_a_place_that_cannot_be_written_is_told(home):
    (home / ".lv2").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"rt-melody.lv2 cannot be written .*--system"):
        installing.install(["lv2"], False, lambda line: None)


def test_what_keeps_other_users_from_running_a_program_is_found():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "of-somebody"
        folder.mkdir()
        program, link = folder / "rt-melody", folder.parent / "linked"
        program.touch(mode=0o755)
        link.symlink_to(program)
        folder.parent.chmod(0o755)
        folder.chmod(0o755)
        if installing.closed_to_others(folder.parent):
            pytest.skip("the folder for temporary files is closed to others")
        assert installing.closed_to_others(program, link) is None
        folder.chmod(0o700)
        assert installing.closed_to_others(link) == folder
        folder.chmod(0o755)
        program.chmod(0o744)
        assert installing.closed_to_others(link, folder) == program


@pytest.mark.parametrize(
    "variable, value, said",
    [("CXX", "no-such-compiler", "apt install g\\+\\+"), ("DPF_PATH", "/no/such/folder", "apt install dpf-source")],
)
def test_what_is_missing_to_build_is_named(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(DeviceError, match=said):
        (building.find_compiler if variable == "CXX" else building.find_dpf)()


def test_a_compiler_that_fails_is_quoted():
    with pytest.raises(DeviceError, match="does not take the plugin's source: .*error"):
        building._compile([sys.executable, "-c", "import sys; sys.exit('x.cpp:1: error: no')"])
