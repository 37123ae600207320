"""The panel of an instance of the plugin: a real process that serves it, beside an engine whose shell is a fake."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

if not hasattr(os, "memfd_create"):
    pytest.skip("the fake shell is made for Linux", allow_module_level=True)
aiohttp = pytest.importorskip("aiohttp")

from fake_plugin import FakeShell

from rt_melody.realtime.plugin import showing
from rt_melody.realtime.plugin.host import PluginEngine
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16_000


def until(condition) -> None:
    end_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end_s, "it never came to be"
        time.sleep(0.01)


@pytest.fixture
def shell():
    fake = FakeShell()
    yield fake
    fake.close()


def begun(shell: FakeShell) -> PluginEngine:
    engine = PluginEngine(shell.shared(), 0)
    engine._begin()
    shell.offline()
    shell.begin_stream(RATE)
    return engine


def hear(engine: PluginEngine, shell: FakeShell, sound: np.ndarray) -> None:
    shell.write(sound)
    engine._catch_up()


async def told(page, name: str):
    """The next of that name that says anything."""
    while True:
        news = json.loads((await asyncio.wait_for(page.receive(), 30)).data)
        if news.get(name):
            return news[name]


def test_while_the_host_asks_for_it_a_page_shows_what_is_heard_and_leaves_the_settings_to_the_host(shell, monkeypatch, capfd):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    engine, song = begun(shell), demo_phrase(RATE).samples
    hear(engine, shell, song[: RATE // 2])
    shell.set("PANEL", 1.0)
    shell.set("TRANSPOSE", 12.0)
    hear(engine, shell, song[RATE // 2 : RATE])
    until(lambda: engine._panel._open is not None)
    panel = engine._panel._open
    assert panel is not None and panel.url in capfd.readouterr().err
    hear(engine, shell, song[RATE : 2 * RATE])

    async def look() -> None:
        host = panel.url.strip("/")
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{host}/socket", headers={"Origin": host}) as page:
            assert (await told(page, "settings"))["transpose"] == 12
            hear(engine, shell, song[2 * RATE : 3 * RATE])
            assert len((await told(page, "frames"))[0]) == 6
            await page.send_str(json.dumps({"set": ["transpose", 3]}))
            assert "the host's to change" in (await told(page, "alerts"))[-1][1]

    asyncio.run(look())
    assert engine._settings.performance.transpose == 12
    shell.set("PANEL", 0.0)
    hear(engine, shell, song[3 * RATE : 4 * RATE])
    until(lambda: engine._panel._open is None)
    until(lambda: panel._child.returncode is not None)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(panel.url, timeout=5)


def test_without_what_serves_it_the_sentence_says_what_to_install_and_notes_are_played(shell, monkeypatch, capfd):
    monkeypatch.setattr(showing, "find_spec", lambda name: None)
    engine, said = begun(shell), ""
    shell.set("PANEL", 1.0)
    hear(engine, shell, demo_phrase(RATE).samples[: 2 * RATE])
    while "aiohttp" not in said:
        said += capfd.readouterr().err
    assert "the panel needs the Python package aiohttp, which is not installed" in said
    assert any(message[0] & 0xF0 == 0x90 for _, _, message in shell.events())
