"""The panel: what it shows, who may steer, what a take holds. In a browser, with sound: tests/rig/test_rig_panel.py."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from contextlib import asynccontextmanager

import mido
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the panel is served by aiohttp, which is not installed")
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from rt_melody.realtime.calibration import PHASE_S, PHASES
from rt_melody.realtime.control.desk import LIVE, Desk
from rt_melody.realtime.errors import DeviceError, SettingsError
from rt_melody.realtime.panel import browser, link
from rt_melody.realtime.panel.describe import describe
from rt_melody.realtime.panel.devices import measured
from rt_melody.realtime.panel.link import MOST, Panel, PanelSink, encoded
from rt_melody.realtime.panel.server import LARGEST_BYTES, NICE, UNREAD_MOST, Page, Server, main, parse_place
from rt_melody.realtime.panel.state import PanelState
from rt_melody.realtime.panel.takes import MOST as MOST_TAKES
from rt_melody.realtime.panel.takes import Takes
from rt_melody.realtime.panel.wire import pack, unpack
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import make_settings, profiles
from rt_melody.realtime.settings.files import asked_values
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.types import NoteOff, NoteOn, PitchBend, PitchFrame

HOP_S = 0.01


def frame(i, voiced=True):
    return PitchFrame(i, i * HOP_S, i * HOP_S + 0.05, 440.0, voiced, 0.9, 0.8, -20.0, 300.0)


def packed(*items):
    """As it comes through the pipe."""
    return json.loads(json.dumps(pack(items)))


def song(first=0, notes=3):
    """Frames, and notes of ten hops with ten between."""
    heard = []
    for i in range(first, first + 20 * notes):
        heard.append(frame(i))
        if i % 20 == 5:
            heard.append(NoteOn(i * HOP_S, i * HOP_S + 0.05, 60 + i // 20, 90, 60.2 + i // 20))
        elif i % 20 == 15:
            heard.append(NoteOff(i * HOP_S, i * HOP_S + 0.05, 60 + i // 20))
    return heard


@pytest.fixture
def state(tmp_path):
    state = PanelState(Takes(tmp_path))
    state.take({"orders": {"settings": {}, "paused": False, "panics": 0, "running": True}})
    state.take({"state": {"state": "listening", "rate_hz": 8000}, "origin": 100.0})
    return state


# --- the wire and the state


def test_what_goes_through_the_pipe_is_the_same_again():
    items = [frame(3), NoteOn(0.1, 0.15, 60, 90, 60.25, -20.5, None, True), NoteOff(0.2, 0.25, 60), PitchBend(0.2, 0.2, 60, -0.5)]
    assert list(unpack(packed(*items))) == items
    settings = make_settings({"mode": "mpe", "scale": "D minor", "loudness": "off", "notes": {"on_ms": 30}, "osc": ["127.0.0.1:9000"]})
    assert type(settings)(**json.loads(json.dumps(asked_values(settings)))) == settings


def test_a_page_opened_late_shows_what_one_that_followed_shows(state):
    followed = {"frames": [], "events": []}
    for start in (0, 60):
        state.take({"heard": packed(*song(start))})
        news = state.news()
        for name in followed:
            followed[name] += news[name]
    whole = state.whole()
    assert {name: whole[name] for name in followed} == followed and len(followed["events"]) == 12
    assert state.news() == {}


def test_times_go_on_when_the_stream_begins_anew(state):
    state.take({"heard": packed(frame(10))})
    state.take({"origin": 107.5, "heard": packed(frame(0))})
    assert [row[0] for row in state.whole()["frames"]] == [0.1, 7.5]


def test_frames_are_shown_as_they_are_played(state):
    state.take({"orders": {"settings": {"performance": {"transpose": -3, "octave": 1}}, "paused": True}, "heard": packed(frame(0))})
    whole = state.whole()
    assert whole["frames"][0][1] == pytest.approx(69 + 9) and whole["settings"]["octave"] == 1 and whole["orders"]["paused"]


def test_what_the_pitch_might_have_been_is_shown_as_bytes_where_it_is_played_and_when_it_was_sung(state):
    row = base64.b64encode(np.array([0.0, 0.25, 1.0], np.float32).tobytes()).decode()
    state.take({"orders": {"settings": {"performance": {"transpose": -3, "octave": 1}}, "paused": False}})
    state.take({"origin": 107.5, "posterior": [0.25, 0.5, row]})
    at_s, coded, shift = state.news()["posterior"]
    assert (at_s, list(base64.b64decode(coded)), shift) == (7.75, [0, 31, 127], 9.0)
    assert "posterior" not in state.news(), "once"


def test_the_lines_of_a_scale_are_its_notes(state):
    state.take({"orders": {"settings": {"performance": {"scale": "A minor pentatonic"}}}})
    assert state.whole()["scale"] == [0, 2, 4, 7, 9]
    state.take({"orders": {"settings": {"performance": {"scale": "auto"}}}})
    assert state.whole()["scale"] == []


def test_every_live_setting_is_described_for_a_control():
    told = describe()["settings"]
    assert told.keys() == LIVE.keys() and json.dumps(told)
    assert told["mode"]["choices"] == ["mono", "legato", "bend", "mpe"] and told["loudness"]["choices"][:2] == [None, "off"]
    assert told["transpose"]["limits"] == {"ge": -60, "le": 60} and told["bend_range"]["limits"]["le"] == 48
    assert (told["gate"]["kind"], told["a4_hz"]["kind"]) == ("text", "number")


def test_what_is_remembered_is_bounded(state):
    for start in range(0, 6000, 60):
        state.take({"heard": packed(*song(start)), "said": f"sentence {start}"})
    whole = state.whole()
    assert len(whole["frames"]) == 2400 and len(whole["events"]) <= 2000 and len(whole["said"]) == 6


# --- the setup, and profiles


def sung(number, note, voiced=False):
    """The frames of one phase, at its time: of a voice that a pause leaves unvoiced, or of nobody."""
    times = number * PHASE_S + HOP_S * np.arange(round(PHASE_S / HOP_S))
    f0_hz, sure, level_db = (440.0 * 2 ** ((note - 69) / 12), 0.9, -20.0) if note else (100.0, 0.1, -60.0)
    return packed(*(PitchFrame(0, t, t + 0.05, f0_hz, voiced, 0.9, sure, level_db) for t in times))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "profile_folder", lambda: tmp_path / "profiles")
    return tmp_path / "profiles"


def test_the_setup_guides_finds_and_keeps_while_the_music_rests(folder, tmp_path):
    server = Server(tmp_path, out=(lines := io.StringIO()))
    state = server.state
    state.take({"orders": {"settings": {}, "paused": False, "profiles": ["lead"]}, "state": {"state": "listening", "hop_ms": 10.0}})
    server._obey('{"setup": true}')
    server.tick()
    asked = []
    for number, note in enumerate((0, 60, 62, 45, 69)):
        state.take({"heard": sung(number, note)})
        asked.append(state.whole()["setup"]["phase"])
    state.take({"heard": sung(5, 0)})
    assert asked == [phase.name for phase in PHASES] and "Notes from G2 to B4 are played." in state.whole()["setup"]["lines"]
    server.tick()
    server._obey('{"keep": "no/name"}')
    assert "cannot be used" in state.whole()["alerts"][-1][1] and not folder.exists()
    server._obey('{"keep": " alto "}')
    server.tick()
    told = [json.loads(line)["send"] for line in lines.getvalue().splitlines()]
    assert told == [["pause", True], ["pause", False], ["profile", ["alto", "lead"]], ["follow", "alto"]]
    played = make_settings(base=profiles.profile_values(["alto"])).performance
    assert (played.lowest, played.highest) == (43, 71) and -60 < float(played.gate) < -20
    assert state.whole()["setup"] is None and ["alto", "own"] in [one[:2] for one in state.whole()["profiles"]]


def test_a_setup_that_hears_nobody_or_nothing_says_so_and_one_that_is_left_is_forgotten(folder, tmp_path):
    server = Server(tmp_path, out=io.StringIO())
    state = server.state
    state.begin_setup()
    for number in range(5):
        state.take({"heard": sung(number, 0)})
    assert "no voice was heard where it should be soft" in state.whole()["setup"]["failed"] and not state.in_setup
    state.begin_setup()
    state.take({"state": {"state": "stopped", "trouble": "the microphone is gone"}})
    assert state.whole()["setup"] == {"failed": "the microphone is gone"}
    state.begin_setup()
    server._obey('{"setup": false}')
    assert state.whole()["setup"] is None and not state.keep_setup("alto", "today") and not folder.exists()


@pytest.mark.parametrize("late_ms, bound_ms", [(3.0, 15), (30.0, 50), (300.0, None)])
def test_the_bound_that_the_machine_keeps_is_read_off_the_session(state, late_ms, bound_ms):
    """Median work, lateness at p99.9 and a hop must fit into it."""
    figures = {"work_ms": {"median": 1.0}, "lateness_ms": {"p99.9": late_ms}, "turns": 1000}
    assert state._bound_ms() is None
    state.take({"state": {"hop_ms": 10.0, "least_bound_ms": 10.0}, "figures": figures})
    assert state._bound_ms() == bound_ms
    state.take({"figures": {**figures, "turns": 10}})
    assert state._bound_ms() is None


def test_what_is_sung_in_a_pause_is_shown(state):
    paused = {"orders": {"settings": {}, "paused": True}}
    state.take({"heard": packed(*[PitchFrame(0, 0.0, 0.05, 440.0, False, 0.9, 0.9, -20.0)])})
    state.take({**paused, "heard": packed(*[PitchFrame(1, 0.01, 0.06, 440.0, False, 0.9, p, -20.0) for p in (0.9, 0.1)])})
    assert [row[2] for row in state.whole()["frames"]] == [0, 1, 0]


# --- the round trip


@pytest.mark.parametrize(
    "answer, shown, noted",
    [
        ({"ms": 12.34}, "takes 12.3 ms: at a bound of 50 ms what is sung is heard played within 62 ms.", "12.3 ms, by the output a\\x1bb."),
        ({"ms": None}, "The microphone did not hear the output", ""),
        ({"error": "the cable is gone"}, "the cable is gone", ""),
    ],
)
def test_the_round_trip_is_measured_while_nothing_listens_and_noted_in_the_profile(folder, tmp_path, monkeypatch, answer, shown, noted):
    asked = []

    async def measure(*what):
        asked.append((what, server.state.is_stopped))
        return answer

    async def act():
        server._obey('{"trip": 3}')
        server._obey('{"trip": 3}')
        assert server.state.whole()["trip"] == {"measuring": True}
        await asyncio.sleep(0)
        server.tick()
        server.state.take({"state": {"state": "stopped"}})
        await server._measuring
        server.tick()

    monkeypatch.setattr("rt_melody.realtime.panel.server.measure_round_trip", measure)
    server = Server(tmp_path, out=(lines := io.StringIO()))
    state = server.state
    state.put("devices", {"inputs": [], "outputs": [[3, "a\x1bb", True]], "midi": []})
    state.take({"orders": {"settings": {"source": {"device": "singer"}}}, "state": {"state": "listening", "hop_ms": 10.0}})
    asyncio.run(act())
    assert asked == [((3, "singer", None), True)]
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == [{"run": False}, {"run": True}]
    assert shown in str(state.whole()["trip"])
    state.begin_setup()
    for number, note in enumerate((0, 60, 62, 45, 69, 0)):
        state.take({"heard": sung(number, note)})
    state.keep_setup("alto", "today")
    kept = (folder / "alto.yaml").read_text()
    assert noted in kept and ("round trip" in kept) == bool(noted) and profiles.profile_values(["alto"])
    server._obey('{"trip": null}')
    assert state.whole()["trip"] is None


def test_a_round_trip_without_its_devices_is_a_sentence(monkeypatch):
    def gone(*_):
        raise DeviceError("there is no output 9")

    monkeypatch.setattr("rt_melody.realtime.sources.roundtrip.measure", gone)
    assert measured(9, None, None) == {"error": "there is no output 9"}


# --- takes


def test_a_take_holds_the_notes_the_frames_and_the_sound_from_press_to_press(state):
    state.take({"heard": packed(*song(0, 1))})
    state.record(with_sound=True)
    state.take({"heard": packed(*song(20, 2)), "sound": b"\1\0" * 4000})
    state.finish_take()
    state.take({"heard": packed(*song(60, 1))})
    take = state.takes.of(1)
    read = mido.MidiFile(take.files["mid"])
    assert [m.note for m in read if m.type == "note_on"] == [61, 62] and take.notes == 2
    at, begun = 0.0, []
    for m in read:
        at += m.time
        begun += [at] if m.type == "note_on" else []
    assert begun == pytest.approx([0.05, 0.25], abs=0.003)
    rows = list(csv.DictReader(io.StringIO(take.files["csv"].read_text())))
    assert len(rows) == 40 and float(rows[0]["time_s"]) == 0.0 and float(rows[-1]["time_s"]) == pytest.approx(0.39)
    with wave.open(str(take.files["wav"])) as sound:
        assert (sound.getnframes(), sound.getframerate(), sound.getsampwidth()) == (4000, 8000, 2)


def test_a_take_goes_on_over_a_restart_and_a_change_of_mode(state):
    state.record(with_sound=False)
    state.take({"heard": packed(*song(0, 1))})
    state.take({"orders": {"settings": {"performance": {"mode": "mpe"}}}})
    state.take({"origin": 102.0, "heard": packed(*song(0, 1))})
    state.finish_take()
    read = [m for m in mido.MidiFile(state.takes.of(1).files["mid"]) if m.type in ("note_on", "note_off")]
    assert [(m.type, m.channel) for m in read] == [("note_on", 0), ("note_off", 0), ("note_on", 1), ("note_off", 1)]
    told = state.takes.of(1).told()
    assert told["seconds"] == pytest.approx(2.2, abs=0.1) and told["shape"][-1][0] == pytest.approx(2.15, abs=0.05)


def test_takes_are_named_forgotten_and_bounded(state, tmp_path):
    for _ in range(MOST_TAKES + 1):
        state.record(with_sound=False)
        state.take({"heard": packed(frame(0))})
        state.finish_take()
        state.takes.rename(1, "  the\x00first\n one  " + "x" * 100)
    assert [take.number for take in state.takes.all] == [1, *range(3, MOST_TAKES + 2)]
    assert len(state.takes.of(1).name) == 60 and "\n" not in state.takes.of(1).name
    state.takes.remove(1)
    assert not (tmp_path / "1.mid").exists() and (tmp_path / "3.mid").exists()


def test_what_must_not_be_missed_is_kept_where_several_come_at_once(state):
    for text in "abcdef":
        state.take({"alert": text})
    assert state.news()["alerts"] == [[3, "c"], [4, "d"], [5, "e"], [6, "f"]] and "alerts" not in state.news()
    state.take({"alert": "f"})
    assert state.news()["alerts"][-1] == [7, "f"], "the same once more is another"


def test_a_take_in_which_nothing_was_heard_is_forgotten(state):
    state.record(with_sound=False)
    state.finish_take()
    whole = state.whole()
    assert whole["takes"] == {"all": [], "now": None} and "nothing was heard in that take" in whole["alerts"][-1][1]
    state.finish_take()
    assert state.whole()["alerts"] == whole["alerts"], "none was under way"


# --- who may ask what


@asynccontextmanager
async def served(tmp_path, token=None):
    """(client, server, the lines that go to the music)."""
    lines = io.StringIO()
    server = Server(tmp_path, token, lines)
    server.state.take({"orders": {"settings": {}, "paused": False}, "origin": 0.0})
    server.look_for_devices = lambda _=None: None
    async with TestClient(TestServer(server.application())) as client:
        server.port = client.port
        yield client, server, lambda: [json.loads(line) for line in lines.getvalue().splitlines()]


def ours(client):
    return {"Origin": f"http://127.0.0.1:{client.port}"}


async def told(page):
    message = await asyncio.wait_for(page.receive(), 5)
    assert message.type == WSMsgType.TEXT, message
    return json.loads(message.data)


def test_the_page_comes_with_all_that_it_needs_and_may_fetch_nothing_else(tmp_path):
    async def act():
        async with served(tmp_path) as (client, _, _):
            for path, word in (("/", "panel.js"), ("/panel.js", "WebSocket"), ("/panel.css", "--ground")):
                answer = await client.get(path)
                text = await answer.text()
                assert answer.status == 200 and word in text and "default-src 'none'" in answer.headers["Content-Security-Policy"]
                links = text.replace("http://www.w3.org/2000/svg", "").replace("http://${location.host}", "")
                assert "http://" not in links and "https://" not in links and "innerHTML" not in text and " style=" not in text

    asyncio.run(act())


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1"])
def test_a_host_that_is_not_ours_is_refused(tmp_path, host):
    async def act():
        async with served(tmp_path) as (client, _, _):
            asked = host.format(port=client.port)
            assert (await client.get("/", headers={"Host": asked})).status == 403
            with pytest.raises(WSServerHandshakeError):
                await client.ws_connect("/socket", headers={"Host": asked, "Origin": f"http://{asked}"})
            assert (await client.get("/", headers={"Host": f"localhost:{client.port}"})).status == 200

    asyncio.run(act())


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1:{port}"])
def test_a_page_of_another_place_cannot_open_the_socket(tmp_path, origin):
    async def act():
        async with served(tmp_path) as (client, _, _):
            with pytest.raises(WSServerHandshakeError, match="403"):
                await client.ws_connect("/socket", headers={"Origin": origin.format(port=client.port)} if origin else {})
            async with client.ws_connect("/socket", headers=ours(client)) as page:
                assert (await told(page))["whole"]

    asyncio.run(act())


def test_beyond_this_machine_the_link_with_its_token_is_needed_once(tmp_path):
    async def act():
        async with served(tmp_path, token="secret") as (client, _, _):
            for path in ("/", "/?token=", "/?token=guess", "/panel.js?token=secret", "/take/1.mid"):
                assert (await client.get(path)).status == 403
            with pytest.raises(WSServerHandshakeError, match="403"):
                await client.ws_connect("/socket", headers=ours(client))
            came = await client.get("/?token=secret", allow_redirects=False)
            cookie = came.headers["Set-Cookie"]
            assert came.status == 303 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
            known = {"Cookie": "rt-melody=secret"}
            assert (await client.get("/", headers=known)).status == 200
            async with client.ws_connect("/socket", headers={**ours(client), **known}) as page:
                assert (await told(page))["whole"]

    asyncio.run(act())


def test_a_message_that_is_too_large_closes_its_socket_and_nothing_else(tmp_path):
    async def act():
        async with served(tmp_path) as (client, server, lines), client.ws_connect("/socket", headers=ours(client)) as good:
            await told(good)
            async with client.ws_connect("/socket", headers=ours(client)) as bad:
                await told(bad)
                await bad.send_str(json.dumps({"set": ["scale", "x" * LARGEST_BYTES]}))
                assert (await asyncio.wait_for(bad.receive(), 5)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
            await good.send_str(json.dumps({"set": ["octave", 1]}))
            await asyncio.sleep(0.05)
            server.tick()
            assert lines() == [{"send": ["octave", 1]}]

    asyncio.run(act())


HUGE = "9" * 3000
REFUSED = [
    ("", "no JSON"), ("no JSON", "no JSON"), ('{"set": ["octave", 1]', "no JSON"), ("[" * 4000, "no JSON"), ('{"a":' * 800, "no JSON"),
    ('{"set": ["gate", NaN]}', "no JSON"), ("[]", "must be an object"), ("3", "must be an object"), ('"run"', "must be an object"),
    ('{"_say": 1}', "nothing that the panel does"), ('{"__class__": 1}', "nothing that the panel does"),
    ('{"set": 1}', "set 1 was passed over: it must be a name and a value"), ('{"set": ["a"]}', "a name and a value"),
    ('{"set": [1, 2]}', "a name and a value"), ('{"set": ["scale", {"a": 1}]}', "a name and a value"),
    ('{"set": ["note_range", ["C3", "C4", 1, 2, 3]]}', "a name and a value"), ('{"set": ["scale", [[1]]]}', "a name and a value"),
    ('{"set": ["transpose", 1e999]}', "a name and a value"), (f'{{"set": ["transpose", {HUGE}]}}', "a name and a value"),
    (r'{"set": ["scale", "\ud800"]}', "a name and a value"), (r'{"keep": "\ud800"}', "a name"), (r'{"rename": [1, "\udfff"]}', "a name"),
    ('{"set": ["midi_file", "/etc/x"]}', "nothing that can be changed while it plays"), ('{"set": ["octav", 1]}', "did you mean octave"),
    ('{"set": ["transpose", "high"]}', "transpose high cannot be used"), ('{"set": ["transpose", 99]}', "at most 60"),
    ('{"set": ["mode", null]}', "mode None cannot be used"), ('{"run": "no"}', "true or false"), ('{"record": 1}', "true or false"),
    ('{"setup": []}', "true or false"), ('{"rename": ["1", "y"]}', "the number of a take"), ('{"rename": ["x", "y"]}', "number of a take"),
    ('{"rename": [true, "y"]}', "the number of a take"), ('{"remove": null}', "the number of a take"),
    ('{"remove": 1e999}', "the number of a take"), ('{"remove": "1"}', "the number of a take"), ('{"remove": 1.5}', "the number of a take"),
    (b'{"set": ["octave", 1]}', "must be text"), (b"\xff\x00", "must be text"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_no_page_of_ours_sends_is_passed_over_and_told_to_whoever_sent_it(tmp_path, number):
    sent, word = REFUSED[number]

    async def act():
        async with (
            served(tmp_path) as (client, server, lines),
            client.ws_connect("/socket", headers=ours(client)) as page,
            client.ws_connect("/socket", headers=ours(client)) as other,
        ):
            await told(page)
            await told(other)
            server.state.news()  # of the beginning
            await (page.send_bytes(sent) if isinstance(sent, bytes) else page.send_str(sent))
            await page.send_str('{"set": ["octave", -1]}')
            await asyncio.sleep(0.05)
            server.tick()
            assert lines() == [{"send": ["octave", -1]}], "the page is open, and goes on"
            answer = await told(page)
            assert list(answer) == ["refused"] and word in answer["refused"] and len(answer["refused"]) <= 300
            server.state.put("key", "C major")
            server.tick()
            assert "refused" not in (await told(other)), "nobody else hears of it"
            assert server.state.takes.now is None

    asyncio.run(act())


def test_a_wish_that_is_none_costs_no_other_wish(tmp_path):
    server, page = Server(tmp_path, out=(lines := io.StringIO())), Page()
    page.is_behind = False
    server._obey('{"remove": "x", "set": ["transpose", 3], "nothing": 1, "run": true}', page)
    server.tick()
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == [{"send": ["transpose", 3]}, {"run": True}]
    assert page.unread.qsize() == 2


def test_two_settings_that_fit_only_together_are_judged_in_their_order(tmp_path):
    server, page = Server(tmp_path, out=(lines := io.StringIO())), Page()
    page.is_behind = False
    for name, value in (("f0_max_hz", 900), ("f0_min_hz", 800), ("f0_max_hz", 850)):
        server._obey(json.dumps({"set": [name, value]}), page)
    server.tick()
    assert len(lines.getvalue().splitlines()) == 2 and page.unread.empty()


def test_of_a_flood_the_music_gets_the_newest_value_once_a_tick(tmp_path):
    server = Server(tmp_path, out=(lines := io.StringIO()))
    for semitones in range(1000):
        server._obey(json.dumps({"set": ["transpose", semitones % 60]}))
    server.tick()
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == [{"send": ["transpose", 999 % 60]}]


def test_a_page_that_does_not_read_misses_news_and_then_gets_the_whole():
    page = Page()
    page.is_behind = False
    for number in range(3 * UNREAD_MOST):
        page.offer(str(number))
    assert page.is_behind and page.unread.qsize() == 1


def test_names_of_others_break_neither_header_nor_page(tmp_path):
    async def act():
        async with served(tmp_path) as (client, server, _):
            state = server.state
            state.record(with_sound=False)
            state.take({"heard": packed(*song(0, 1))})
            state.finish_take()
            state.takes.rename(1, '"</script><b>\u2603; filename="x.exe')
            answer = await client.get("/take/1.mid")
            header = answer.headers["Content-Disposition"]
            assert answer.status == 200 and header.startswith('attachment; filename="_') and header.count('"') == 2
            assert "%E2%98%83" in header and mido.MidiFile(file=io.BytesIO(await answer.read())).length > 0
            for path in ("/take/2.mid", "/take/1.wav", "/take/1.exe", "/take/..%2f1.mid", "/../server.py"):
                assert (await client.get(path)).status == 404

    asyncio.run(act())


@pytest.mark.parametrize(
    "text, meant",
    [("auto", ("127.0.0.1", 7464, True)), ("8000", ("127.0.0.1", 8000, False)), ("0.0.0.0:8000", ("0.0.0.0", 8000, False))],
)
def test_where_it_is_served(text, meant):
    assert parse_place(text) == meant


@pytest.mark.parametrize("text", ["", "x", "65536", "host:"])
def test_what_is_no_place_is_refused(text):
    with pytest.raises(SettingsError, match="up to 65535"):
        parse_place(text)


# --- the music's end


def test_the_sink_hands_on_what_it_heard_every_three_hops():
    sent = []
    sink = PanelSink(lambda **item: sent.append(item))
    sink.start(7.0)
    for item in song(0, 1):
        sink.event(item) if not isinstance(item, PitchFrame) else sink.frame(item)
    sink.close()
    assert sent[0] == {"origin": 7.0} and 7 <= len(sent) <= 9
    assert [one for item in sent[1:] for one in unpack(json.loads(json.dumps(encoded(item)))["heard"])] == song(0, 1)


@pytest.mark.parametrize("frames", [3, 4, 5])
def test_what_a_run_ends_with_is_handed_on_before_the_next_one_and_no_take_of_that_begins_with_it(frames):
    sent = []
    sink = PanelSink(lambda **item: sent.append(item))
    sink.start(7.0)
    for i in range(frames):
        sink.frame(frame(i))
    sink.flush()
    ended = len(sent)
    assert [one for item in sent[1:] for one in item["heard"]] == [frame(i) for i in range(frames)]
    sink.start(70.0)
    assert sent[ended:] == [{"origin": 70.0}]


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped there")
def test_the_process_serves_until_it_is_closed_and_a_child_that_takes_nothing_is_not_waited_for():
    desk, told = Desk(), []
    with Panel(desk, "0", told.append) as panel:
        assert "rt-melody" in fetch(panel.url)
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, panel._child.pid) == min(19, ours + NICE), "the music comes before it"
        panel._child.send_signal(signal.SIGSTOP)
        begun = time.perf_counter()
        for _ in range(20 * MOST):
            panel.send(said="x" * 1000)
        desk.set("transpose", 3)
        assert panel.dropped > 10 * MOST and time.perf_counter() - begun < 5
        panel._child.send_signal(signal.SIGCONT)
        assert "rt-melody" in fetch(panel.url)
    with pytest.raises(urllib.error.URLError):
        fetch(panel.url)
    assert told == []


def test_a_page_reaches_the_desk_and_a_refusal_the_page_and_that_it_is_gone_is_told():
    async def act(panel, desk):
        import aiohttp

        host = panel.url.strip("/")
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{host}/socket", headers={"Origin": host}) as page:
            assert (await told(page))["whole"]
            for pair in (["scale", "D minor"], ["profile", "no-such-voice"]):
                await page.send_str(json.dumps({"set": pair}))
            while "alerts" not in (news := await told(page)):
                pass
            assert "there is no profile no-such-voice" in news["alerts"][-1][1]
            assert desk.settings.performance.scale == "D minor"

    desk, said = Desk(), []
    with Panel(desk, "0", said.append) as panel:
        asyncio.run(act(panel, desk))
        panel._child.kill()
        assert any(said or time.sleep(0.01) for _ in range(1000)) and "goes on without it" in said[0]
        panel.send(said="nobody hears this")


@pytest.mark.parametrize("word", [b'{"send": ["octave", ', b""])
def test_a_process_that_is_killed_amid_a_word_is_told_as_gone(monkeypatch, word):
    child = [sys.executable, "-S", "-c", f"import sys; sys.stdout.buffer.write(b'{{\"url\": \"x\"}}\\n' + {word!r})"]
    monkeypatch.setattr(link, "_serve", lambda where, browse: subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    said = []
    with Panel(Desk(), "0", said.append):
        assert any(said or time.sleep(0.01) for _ in range(1000)) and "goes on without it" in said[0]


def test_a_port_that_is_taken_is_told(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        main([json.dumps([str(taken.getsockname()[1]), False])])
    answer = capsys.readouterr().out
    assert "give another: --panel PORT" in json.loads(answer)["error"]
    child = [sys.executable, "-S", "-c", f"print({answer!r})"]
    monkeypatch.setattr(link, "_serve", lambda where, browse: subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    told = []
    with Panel(Desk(), "0", told.append, on_url=told.append) as panel, pytest.raises(DeviceError, match="give another"):
        _ = panel.url
    assert told == []


# --- the command


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "stream, screen, served, opens",
    [(Terminal(), ":0", True, True), (io.StringIO(), ":0", True, False), (Terminal(), "", True, False), (Terminal(), ":0", False, False)],
)
def test_plain_rt_melody_opens_the_panel_where_somebody_sits_before_a_screen(monkeypatch, stream, screen, served, opens):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(browser, "find_spec", lambda name: object() if served else None)
    assert browser.has_window() == opens


@pytest.mark.parametrize("arguments, word", [(["--input", "a.wav", "b.wav"], "one input"), (["--input", "demo"], "pip install aiohttp")])
def test_what_the_panel_cannot_have_is_told(monkeypatch, arguments, word):
    settings = make_settings({"input": arguments[1:], "panel": "0"})
    monkeypatch.setattr("rt_melody.realtime.program.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=word):
        Program(settings, StopSignals()).run()
