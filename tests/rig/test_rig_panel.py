"""The panel in a real browser, headless Chromium, with a JACK recorder at the MIDI port: what a player does, and what it plays.

The tests share one program and one browser, in the order in which they stand here.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

import mido
import pytest
from conftest import rig_or_skip
from fake_singer import HIGHEST, LOWEST, ROOM_DB, SOFT_DB, five_things

from rt_melody.benchmarks.panel import find_browser, measure_start, watch
from rt_melody.benchmarks.rig.midi_reader import perform, seconds_since
from rt_melody.benchmarks.rig.studio import (
    SAMPLE_RATE,
    JackServer,
    MidiRecorder,
    Program,
    RigMissing,
    VirtualMicrophone,
    melody_command,
    next_line,
    wait_until,
)
from rt_melody.realtime.sources.demo import TUNE

pytestmark = pytest.mark.rig
DEMO_NOTES = [note for _, note, _, _ in TUNE]
SIZES = {"telephone": (320, 640), "laptop": (1440, 900), "wall": (2560, 1440), "wide": (3440, 1440)}
TRICK = '<img src=x onerror="window.hit=1">'


class Stage:
    """A running panel, its page in a browser, and what its MIDI port sent."""

    def __init__(self, folder: Path, close: list) -> None:
        self.server = JackServer(folder)
        close.append(self.server.close)
        self.recorder = MidiRecorder(self.server, folder)
        close.append(self.recorder.close)
        self.microphone = VirtualMicrophone(self.server, five_things(SAMPLE_RATE), folder)
        close.append(self.microphone.close)
        self.browser = find_browser()
        close.append(self.browser.quit)
        options = ("--panel", "0", "--input", "demo", "--midi-out", "--listen", "off")
        env = {**self.server.env, "XDG_CONFIG_HOME": str(folder / "config")}  # where its profiles are kept
        self.program = Program([*melody_command(), *options], env, folder)
        close.append(self.program.close)
        wait_until(lambda: "the panel is at " in self.program.stderr, 120, "the address of the panel")
        self.url = self.program.stderr.split("the panel is at ")[1].split()[0]
        self.open()

    def open(self) -> None:
        self.browser.get(self.url)

    def js(self, code: str, *arguments):
        return self.browser.execute_script(code, *arguments)

    def wait(self, condition: str, timeout_s: float = 30, what: str = "") -> None:
        """Until this is true in the page."""
        wait_until(lambda: self.program.assert_running() or self.js(f"return !!({condition})"), timeout_s, what or condition)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def performance(self):
        return perform(seconds_since(0, self.recorder.messages, SAMPLE_RATE))

    def note_ons(self) -> list[int]:
        return [data[1] for _, data in self.recorder.messages if data[0] & 0xF0 == 0x90]

    def sing_demo(self) -> int:
        """Play it from the beginning; how many note-ons there were before."""
        self.wait("shown.state.state === 'stopped'")
        before = len(self.note_ons())
        self.js("document.activeElement.blur()")
        self.press("d")
        self.wait("shown.state.state === 'listening'")
        return before


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    close: list = []
    with rig_or_skip():
        try:
            yield Stage(tmp_path_factory.mktemp("panel"), close)
        finally:
            for ending in reversed(close):
                ending()


def painted(stage: Stage) -> int:
    """How many colours the middle of the piano roll has."""
    return stage.js(
        "const c = document.getElementById('roll'), d = c.getContext('2d').getImageData(c.width >> 2, 0, c.width >> 1, c.height).data;"
        "const seen = new Set(); for (let i = 0; i < d.length; i += 388) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);"
        "return seen.size"
    )


def test_it_opens_and_draws_what_is_sung(stage):
    stage.wait("frames.length > 300 && notes.length > 3", 60)
    stage.wait("document.getElementById('state-text').textContent.includes('demo')")
    wait_until(lambda: painted(stage) > 10, 10, "colours on the piano roll")
    stage.js("send({run: true})")
    stage.wait("document.getElementById('level-text').textContent.endsWith('dBFS')")
    stage.wait("document.getElementById('note').classList.contains('on') && document.getElementById('cents').textContent.endsWith('cents')")
    stage.wait("shown.figures && shown.figures.turns > 0 && document.querySelectorAll('#figures dd').length === 6")
    assert "MIDI rt-melody" in stage.js("return document.getElementById('outputs').textContent")
    errors = [line for line in stage.browser.get_log("browser") if line["level"] == "SEVERE"]
    assert errors == []


def test_a_control_changes_what_the_midi_port_plays_and_no_note_hangs(stage):
    before = stage.sing_demo()
    wait_until(lambda: len(stage.note_ons()) >= before + 2, 20, "two notes of the demo")
    stage.js("document.querySelector('[aria-label=\"Octave up\"]').click()")
    stage.wait("shown.settings.octave === 1 && document.getElementById('set-octave').textContent === '+1'")
    stage.wait("shown.state.state === 'stopped'")
    played = stage.note_ons()[before:]
    assert played[:2] == DEMO_NOTES[:2] and played[-5:] == [note + 12 for note in DEMO_NOTES[-5:]]
    assert stage.performance().notes_left_on == 0


def test_a_take_is_recorded_renamed_fetched_and_opens_as_midi_table_and_sound(stage):
    stage.js("document.getElementById('with-sound').checked = true")
    before = stage.sing_demo()
    stage.press("r")
    stage.wait("shown.takes.now && shown.takes.now.notes >= 3")
    stage.press("r")
    stage.wait("shown.takes.all.length === 1 && document.querySelectorAll('#takes a').length === 3")
    name = stage.browser.find_element("css selector", "#takes input")
    name.send_keys("\ue009a\ue000", TRICK, "\n")  # in place of what stood there
    stage.wait(f"shown.takes.all[0].name === {json.dumps(TRICK)} && document.querySelector('#takes input').value === {json.dumps(TRICK)}")
    assert stage.js("return window.hit") is None
    links = stage.js("return [...document.querySelectorAll('#takes a')].map((a) => a.href)")
    got = {link.rsplit(".", 1)[1]: urllib.request.urlopen(link, timeout=10).read() for link in links}
    notes = [m.note for m in mido.MidiFile(file=io.BytesIO(got["mid"])) if m.type == "note_on"]
    assert notes == stage.note_ons()[before : before + len(notes)] or notes == stage.note_ons()[before + 1 : before + 1 + len(notes)]
    assert len(got["csv"].splitlines()) > 50 and got["wav"][:4] == b"RIFF" and len(got["wav"]) > 48_000
    assert len(notes) >= 3


def test_a_take_that_begins_before_the_music_begins_with_it_and_can_be_named_while_another_is_recorded(stage):
    stage.wait("shown.state.state === 'stopped'")
    stage.js("document.activeElement.blur(); document.getElementById('with-sound').checked = false")
    stage.press("r")
    stage.wait("shown.takes.now")
    stage.sing_demo()
    stage.wait("shown.takes.now.notes >= 3")
    stage.press("r")
    stage.wait("!shown.takes.now")
    take = stage.js("return shown.takes.all.at(-1)")
    rows = list(csv.DictReader(io.StringIO(urllib.request.urlopen(f"{stage.url}take/{take['number']}.csv", timeout=10).read().decode())))
    steps = [float(after["time_s"]) - float(row["time_s"]) for row, after in pairwise(rows)]
    assert max(steps) < 0.1 and take["seconds"] == pytest.approx(float(rows[-1]["available_s"]), abs=0.06), "no frame of the run before"
    stage.press("r")
    stage.wait("shown.takes.now && shown.takes.now.seconds > 0")
    stage.js("const name = document.querySelector('#takes input'); name.focus(); name.select()")
    stage.press(*"sad road")  # letters that are shortcuts, too, where no name has the focus
    stage.press("\ue007")
    stage.wait("shown.takes.all.at(-1).name === 'sad road' && shown.takes.now")
    stage.js("const name = document.querySelector('#takes input'); name.focus(); name.select()")
    stage.press("\ue017", "\ue007")
    stage.wait("document.querySelector('#takes input').value === 'sad road'")
    stage.press("R")  # as Caps Lock has it; a name that is given is left, so that this is a shortcut
    stage.wait("!shown.takes.now && shown.takes.all.length === 3")
    for left in (2, 1):
        stage.js("document.querySelector('#takes button').focus()")
        stage.press("\ue007")
        stage.wait("document.activeElement.textContent === 'Forget?' && document.activeElement.ariaLabel.includes('Press again')")
        assert stage.js("return shown.takes.all.length") == left + 1, "one press asks"
        stage.press("\ue007")
        stage.wait(f"shown.takes.all.length === {left} && document.activeElement.closest('#takes')")


def test_a_reload_and_a_second_window_show_the_same(stage):
    stage.wait("shown.state.state === 'stopped'")
    parts = "const {figures, devices, ...rest} = shown; return JSON.stringify([rest, frames, notes])"
    stage.wait("frames.length > 300")
    stage.open()
    stage.wait("frames.length > 300 && shown.settings.octave === 1")
    first = stage.js(parts)
    stage.browser.switch_to.new_window("window")
    stage.open()
    stage.wait("frames.length > 300")
    assert stage.js(parts) == first
    stage.js("set('octave', 0)")
    stage.wait("shown.settings.octave === 0")
    stage.browser.close()
    stage.browser.switch_to.window(stage.browser.window_handles[0])
    stage.wait("shown.settings.octave === 0 && document.getElementById('set-octave').textContent === '0'")


def test_the_keyboard_alone_reaches_and_works_everything(stage):
    reachable = (
        "return [...document.querySelectorAll('a, button, input, select, summary')].filter((e) => e.offsetParent && "
        "!(e.type === 'radio' && !e.checked)).length"
    )
    stage.js("document.activeElement.blur(); document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    wanted, met = stage.js(reachable), set()
    for _ in range(wanted + 5):
        stage.press("\ue004")
        met.add(stage.js("const e = document.activeElement; e.dataset.met ||= Math.random(); return e.tagName !== 'BODY' && e.dataset.met"))
    assert len(met - {False}) >= wanted - 1  # the link that skips to the controls is shown only while it has the focus
    stage.js("document.querySelector('[aria-label=\"Transpose up\"]').focus()")
    stage.press("\ue00d", "\ue00d")
    stage.wait("shown.settings.transpose === 2")
    stage.js("document.querySelector('input[name=set-mode]:checked').focus()")
    stage.press("\ue014")
    chosen = "document.querySelector('input[name=set-mode]:checked').parentElement.textContent"
    stage.wait(f"shown.settings.mode === 'legato' && {chosen} === 'legato'")
    stage.js("document.getElementById('set-gate').focus()")
    stage.press("\ue014")
    stage.wait("shown.settings.gate === 'auto'")
    panics = stage.js("return shown.orders.panics")
    stage.press("\ue00c")
    stage.wait(f"shown.orders.panics === {panics + 1}")
    stage.js("document.activeElement.blur()")
    stage.press(" ")
    stage.wait("shown.orders.paused && document.getElementById('pause').getAttribute('aria-pressed') === 'true'")
    stage.press(" ")
    stage.wait("!shown.orders.paused")


def test_a_key_that_is_held_down_is_one_press(stage):
    at = stage.js("document.activeElement.blur(); return scrollY")
    down = {"type": "keyDown", "key": " ", "code": "Space", "text": " "}
    for often in range(4):
        stage.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {**down, "autoRepeat": often > 0})
    stage.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": " ", "code": "Space"})
    stage.wait("shown.orders.paused")
    stage.js("set('octave', 1)")
    stage.wait("shown.settings.octave === 1 && shown.orders.paused")
    assert stage.js("return scrollY") == at, "nor does the page scroll"
    stage.js("set('octave', 0)")
    stage.press(" ")
    stage.wait("!shown.orders.paused")


FIELDS = [  # field, what is typed, what then stands there
    ("#set-bend_range", "99", "", "must be at most 48"),
    ("#set-a4_hz", "--", "440", "Tuning A4 was left as it is, since that is no number"),
    ("#set-a4_hz", "", "440", ""),
    ("[aria-label='Velocity range, lowest']", "50", "-45", "must ascend"),
    ("[aria-label='Velocity range, lowest']", "", "-45", ""),
]


@pytest.mark.parametrize("field, typed, stands, said", FIELDS)
def test_a_field_shows_what_is_in_force_after_what_does_not_fit(stage, field, typed, stands, said):
    stage.js(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; }); document.getElementById('toast').hidden = true;"
        "const field = document.querySelector(arguments[0]); field.focus(); field.select()",
        field,
    )
    stage.press("\ue017", *typed, "\ue007")
    value = f"document.querySelector({json.dumps(field)}).value === {json.dumps(stands)}"
    stage.wait(f"{value} && document.getElementById('toast').hidden === {json.dumps(not said)}")
    assert said in stage.js("return document.getElementById('toast').textContent")


def test_of_sentences_that_come_together_all_are_read(stage):
    told = (
        "document.getElementById('toast').replaceChildren();"
        "const known = alerted; shown.alerts = [[known, 'old'], [known + 1, 'first'], [known + 2, 'second']];"
        "showAlerts(); const lines = () => [...document.getElementById('toast').children].map((line) => line.textContent);"
        "const said = lines(); showAlerts(); toast('first');"
        "const again = lines();"
        "shown.alerts = [[1, 'of the next program']]; alerted = 100; showAlerts(); alerted = known; return [said, again, lines().length]"
    )
    assert stage.js(told) == [["first", "second"], ["second", "first"], 3]


IN_FORCE = [  # what no control could have asked for, and how it is shown
    ("latency_ms", 83, "document.getElementById('set-latency_ms').nextElementSibling.value", "83 ms"),
    ("gate", "-45.5", "document.getElementById('set-gate').nextElementSibling.value", "-45.5 dBFS"),
    ("snap", "33", "document.getElementById('set-snap').nextElementSibling.value", "33 cents"),
    ("scale", "Am", "document.getElementById('set-scale').selectedOptions[0].textContent", "Am"),
    ("scale", "Db major", "document.getElementById('set-scale').selectedOptions[0].textContent", "Db major"),
]


@pytest.mark.parametrize("name, value, place, text", IN_FORCE)
def test_what_the_command_line_may_ask_for_is_shown_as_it_is(stage, name, value, place, text):
    before = stage.js("return shown.settings[arguments[0]]", name)
    stage.js("document.activeElement.blur(); set(arguments[0], arguments[1])", name, value)
    stage.wait(f"{place} === {json.dumps(text)}")
    stage.js("set(arguments[0], arguments[1])", name, before)
    stage.wait(f"{place} !== {json.dumps(text)}")


def test_what_cannot_be_used_is_told_in_the_page(stage):
    stage.js("set('scale', 'H minor')")
    stage.wait("!document.getElementById('toast').hidden && document.getElementById('toast').textContent.includes('not known')")
    stage.js("set('midi_out', 'no such port'); send({run: true})")
    stage.wait("document.getElementById('said').textContent.includes('no such port')", 20)
    stage.wait("shown.state.state === 'stopped' && document.getElementById('hint-text').textContent.includes('no such port')")
    stage.js("set('midi_out', 'virtual'); set('device', 'singer'); set('input', ['mic']); send({run: true})")
    stage.wait("shown.state.state === 'listening' && shown.state.source.includes('singer')")
    stage.js("document.getElementById('toast').hidden = true; set('device', 'unplugged')")
    stage.wait("document.getElementById('toast').textContent.includes('unplugged') && !document.getElementById('toast').hidden")
    stage.wait("shown.settings.device === 'singer' && document.getElementById('said').textContent.includes('all is as it was before')")
    stage.js("send({run: false}); set('input', ['demo']); set('device', null)")
    stage.wait("shown.state.state === 'stopped' && shown.settings.device === null")


def test_a_dialog_gives_the_focus_back(stage):
    for opener, dialog in (("measure", "trip"), ("fit", "setup")):
        stage.js("document.getElementById(arguments[0]).focus()", opener)
        stage.press("\ue007")
        stage.wait(f"!document.getElementById('{dialog}').hidden")
        stage.js("document.getElementById(arguments[0]).focus()", f"{dialog}-leave")
        stage.press("\ue007")
        stage.wait(f"document.getElementById('{dialog}').hidden && document.activeElement.id === '{opener}'")
    stage.js("send({run: false}); set('input', ['demo'])")
    stage.wait("shown.state.state === 'stopped' && shown.settings.input[0] === 'demo' && !shown.orders.paused")


def test_one_dialog_is_shown_at_a_time(stage):
    """Each would be read through the other; that of the setup is there again once the other is closed, and when it is asked for."""
    shown_now = "return ['trip', 'setup'].filter((id) => !document.getElementById(id).hidden).join()"
    stage.js("document.getElementById('fit').click()")
    stage.wait("shown.setup")
    for opener, seen in (("measure", "trip"), ("trip-leave", "setup"), ("measure", "trip"), ("fit", "setup")):
        stage.js(f"document.getElementById('{opener}').click()")
        assert stage.js(shown_now) == seen
    stage.js("document.getElementById('setup-leave').click()")
    stage.wait("!shown.setup")
    assert stage.js(shown_now) == ""
    stage.js("send({run: false}); set('input', ['demo'])")
    stage.wait("shown.state.state === 'stopped' && shown.settings.input[0] === 'demo' && !shown.orders.paused")


def test_the_setup_in_the_page_fits_a_profile_to_the_voice_in_the_microphone(stage):
    stage.js("set('device', 'singer'); set('transpose', 0); set('profile', ['lead']); document.getElementById('fit').click()")
    stage.wait("shown.setup && shown.setup.part > 0 && shown.state.source.includes('singer')")
    played = len(stage.note_ons())
    stage.microphone.play()
    stage.wait("!document.getElementById('setup').hidden && document.getElementById('setup-ask').textContent.includes('softly')")
    assert not stage.browser.find_element("id", "setup-name").is_displayed(), "there is nothing to keep yet"
    assert stage.js("return document.querySelectorAll('#setup .steps span').length") == 5
    stage.wait("shown.setup.lines && document.activeElement.id === 'setup-keep'", 90, "what the setup found")
    assert len(stage.note_ons()) == played, "nothing is played meanwhile"
    stage.js("document.getElementById('setup-name').value = 'alto'")
    stage.press("\ue007")
    stage.wait("shown.orders.profiles.join() === 'alto,lead' && document.getElementById('setup').hidden && !shown.orders.paused")
    lowest, highest = (round(note) for note in stage.js("return shown.settings.note_range.map(number)"))
    assert abs(lowest - (LOWEST - 2)) <= 1 and abs(highest - (HIGHEST + 2)) <= 1
    assert ROOM_DB + 3 < float(stage.js("return shown.settings.gate")) < SOFT_DB - 3
    assert stage.js("return document.getElementById('set-profile-own').value") == '["alto"]'
    stage.open()
    stage.wait("document.getElementById('set-profile-own') && document.getElementById('set-profile-own').value.includes('alto')")
    stage.js("set('profile', []); set('input', ['demo']); set('device', null)")
    stage.wait("shown.orders.profiles.length === 0 && shown.settings.gate === 'off'")


def test_axe_finds_nothing_serious_in_either_theme(stage):
    path = os.environ.get("RT_MELODY_AXE", "")
    if not os.path.isfile(path):
        with rig_or_skip():
            raise RigMissing("axe-core is not there: pip install --no-deps axe-playwright-python, and RT_MELODY_AXE=.../axe.min.js of it")
    stage.js(Path(path).read_text(encoding="utf-8"))
    for theme in ("dark", "light"):
        stage.js("document.documentElement.dataset.theme = arguments[0]; palette.clear()", theme)
        found = stage.browser.execute_async_script("axe.run(document, {}).then(arguments[0])")["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_light_or_dark_is_kept_over_a_reload(stage):
    def theme() -> str:
        return stage.js("return document.documentElement.dataset.theme")

    stage.js("document.getElementById('theme').click()")
    chosen = theme()
    for other in ("light" if chosen == "dark" else "dark", chosen):
        stage.js("document.getElementById('theme').click()")
        stage.browser.refresh()
        stage.wait("shown.state !== undefined")
        assert theme() == other


def test_it_fits_a_telephone_and_a_wall_in_both_themes(stage, tmp_path):
    for theme in ("dark", "light"):
        stage.js("document.documentElement.dataset.theme = arguments[0]; palette.clear()", theme)
        for name, (width, height) in SIZES.items():
            stage.size(width, height)
            time.sleep(0.2)
            assert stage.js("return document.documentElement.scrollWidth") <= width
            stage.browser.save_screenshot(str(tmp_path / f"{name}-{theme}.png"))
            cut = stage.js(
                "return [...document.querySelectorAll('button, select, input, output, dd')].filter((e) => e.offsetParent && "
                "(e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).map((e) => e.outerHTML)"
            )
            assert cut == []
            for said in ("Record", "Stop 59:59"):
                dressed = "b.setAttribute('aria-pressed', arguments[0] !== 'Record'); b.querySelector('.label').textContent = arguments[0]"
                assert stage.js(f"const b = document.getElementById('record'); {dressed}; return b.scrollWidth - b.clientWidth", said) <= 0
            stage.js("showTakes()")
            letters = stage.js("return parseFloat(getComputedStyle(document.documentElement).fontSize)")
            assert letters <= max(18.0, 0.0128 * height) + 0.01, "as large as the height allows too"
    stage.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_when_the_program_ends_the_page_says_so(stage):
    stage.program.signal()
    assert stage.program.wait() == 0
    wait_until(lambda: "has ended" in stage.js("return document.getElementById('state-text').textContent"), 10, "the page's word")
    before = stage.js("return document.getElementById('set-octave').textContent")
    for wish in ("document.getElementById('panic').click()", "document.querySelector('[aria-label=\"Octave up\"]').click()"):
        stage.js(f"document.getElementById('toast').hidden = true; {wish}")
        assert "Nothing was changed" in stage.js("return document.getElementById('toast').textContent")
        assert stage.js("return document.getElementById('toast').hidden") is False
    assert stage.js("return document.getElementById('set-octave').textContent") == before


NAMES = {  # as a driver, a plugged-in device or a file may be called, and as the page shows it
    "<img src=x onerror='window.hit=1'>": "<img src=x onerror='window.hit=1'>",
    "</option></select><script>window.hit=1</script>": "</option></select><script>window.hit=1</script>",
    "evil\x1b[31m\x07 bell": "evil\\u{1b}[31m\\u{7} bell",
    "speaker \u202eenohporcim": "speaker \\u{202e}enohporcim",
    "two\u2028lines": "two\\u{2028}lines",
    "Mikrofon Übung 東京 ☃": "Mikrofon Übung 東京 ☃",
    '"&amp;${1+1}': '"&amp;${1+1}',
}


def test_names_of_devices_ports_and_files_are_shown_as_text_and_profiles_of_the_start_too():
    """In a page of its own, without the music: the names come as devices.py and program.py tell them."""
    with rig_or_skip():
        browser = find_browser()
    code = (
        "import asyncio, json, sys\n"
        "from rt_melody.realtime.panel import server\n"
        "names = json.loads(sys.argv[1])\n"
        "async def found(): return {'inputs': [[i, n, i == 0] for i, n in enumerate(names)], "
        "'outputs': [[i, n, i == 0] for i, n in enumerate(names)], 'midi': names}\n"
        "server.find_devices = found\n"
        "asyncio.run(server.serve('0', False))\n"
    )
    names = list(NAMES)
    told = {"state": "stopped", "source": names[0], "outputs": names, "trouble": names[2]}
    orders = {"settings": {"source": {"device": names[3]}}, "paused": False, "panics": 0, "running": False}
    orders |= {"profiles": ["lead", "strings"], "kept": ["mode"]}  # as of --profile lead strings --mode mono
    child = subprocess.Popen([sys.executable, "-c", code, json.dumps(names)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url = json.loads(next_line(child))["url"]
        for item in ({"orders": orders}, {"state": told}, *({"said": name} for name in names)):
            child.stdin.write(json.dumps(item).encode() + b"\n")
        child.stdin.flush()
        browser.get(url)
        texts = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        wait_until(lambda: len(browser.execute_script(texts, "#set-device option")) > len(names), 60, "the devices")
        wait_until(lambda: len(browser.execute_script(texts, "#outputs li")) == len(names), 60, "the outputs")
        seen = list(NAMES.values())
        devices = browser.execute_script(texts, "#set-device option")
        assert devices[1 : len(names) + 1] == [seen[0] + " (usual)", *seen[1:]] and devices[-1] == seen[3]
        assert browser.execute_script(texts, "#set-midi_out option")[2:] == seen
        assert browser.execute_script(texts, "#trip-output option") == seen
        assert browser.execute_script(texts, "#outputs li") == seen
        assert browser.execute_script(texts, "#said li") == seen[-4:]
        assert seen[2] in browser.execute_script("return document.getElementById('hint-text').textContent").replace("Evil", "evil")
        ports = browser.execute_script("return [...document.querySelectorAll('#set-midi_out option')].map((e) => JSON.parse(e.value))")
        assert ports[2:] == names, "what is asked for is the name as it is"
        assert browser.execute_script("return [window.hit, document.querySelectorAll('main img, main script').length]") == [None, 0]
        style = "return document.getElementById('set-profile-preset').selectedOptions[0].textContent"
        assert browser.execute_script(style) == "lead + strings"
        assert "As you set it: mode." in browser.execute_script("return document.getElementById('kept').textContent")
        browser.execute_script("document.getElementById('follow').click()")
        assert json.loads(next_line(child)) == {"send": ["follow", None]}
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    finally:
        browser.quit()
        child.stdin.close()
        child.wait(60)


def test_how_soon_the_page_draws_is_measured(tmp_path):
    with rig_or_skip():
        browser = find_browser()
    try:
        watch(browser)
        seconds = measure_start(tmp_path, browser)
    finally:
        browser.quit()
    assert 0 < seconds["served"] < seconds["page"] <= seconds["level"] <= seconds["trail"]
