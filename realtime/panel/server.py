"""The process that serves the panel: ``python -m rt_melody.realtime.panel.server``, started by link.py, which it speaks with by
its standard input and output. It ends when its input ends.

Conventions
-----------
* At this machine's own address unless another is asked for, and then for those alone who have the link with its token, which a
  cookie then remembers.
* What a browser sends along is checked: the host that it meant, and that the page which opens the socket is ours. Messages are of
  ``LARGEST_BYTES`` at most. No script, style or picture of another origin is allowed in the page.
* A page gets the whole state, then news as the music tells them, at intervals of ``TICK_S`` at least; every ``IDLE_TICK_S`` where it
  tells none. One that does not read misses news, and gets the whole state once it reads again; nobody waits for it.
* Of what pages send, the newest value of each setting goes on to the music, as often. What cannot be understood or used is passed
  over, and told to the page that sent it alone.

aiohttp serves HTTP and web sockets in one package, which comes as a wheel for every platform that PyTorch has one for.
"""

from __future__ import annotations

import asyncio
import datetime
import hmac
import json
import os
import re
import secrets
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from aiohttp import WSMsgType, web

from rt_melody.realtime.control.desk import FOLLOW, LIVE, PAUSE, PROFILE
from rt_melody.realtime.errors import RtMelodyError, SettingsError
from rt_melody.realtime.panel.browser import has_browser
from rt_melody.realtime.panel.devices import find_devices, measure_round_trip
from rt_melody.realtime.panel.state import PanelState
from rt_melody.realtime.panel.takes import Takes
from rt_melody.realtime.panel.wishes import read_wishes
from rt_melody.realtime.settings import change_setting
from rt_melody.realtime.settings.profiles import own_profiles

LOOPBACK = "127.0.0.1"
OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
USUAL_PORT = 7464  # S I N G on a telephone
TICK_S = 0.02
IDLE_TICK_S = 0.05
LARGEST_BYTES = 4096
PAGES = 32  # open at once
CLOSING_S = 0.5  # for which pages that are open at the end are waited for: the music's end waits for two seconds
NICE = 5
LOADING_STEPS, LOADING_STEP_S = 50, 0.1  # for so long devices are not looked for while the music's end gets ready
UNREAD_MOST = 40  # news that a page may leave unread: more than a second
LINE_LIMIT = 1 << 22
LONGEST_REFUSAL = 300  # letters
RUN = "\0run"  # beside the names of settings: whether to listen
COOKIE = "rt-melody"
STOPPING_STEPS, STOPPING_STEP_S = 100, 0.05  # for so long a session may take to end
HERE = Path(__file__).parent / "page"
FILES = {"/": ("index.html", "text/html"), "/panel.css": ("panel.css", "text/css"), "/panel.js": ("panel.js", "text/javascript")}
TYPES = {"mid": "audio/midi", "csv": "text/csv", "wav": "audio/wav"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def parse_place(text: str) -> tuple[str, int, bool]:
    """(host, port, whether another port will do) of ``auto``, ``PORT`` or ``HOST:PORT``; SettingsError otherwise."""
    if text == "auto":
        return LOOPBACK, USUAL_PORT, True
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise SettingsError(f"--panel {text} cannot be used: it must be a port up to 65535, or HOST:PORT; for instance {USUAL_PORT}")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port), False


class Page:
    """One open page: what it has not read yet."""

    def __init__(self) -> None:
        self.unread: asyncio.Queue[str | None] = asyncio.Queue(UNREAD_MOST)
        self.is_behind = True  # it needs the whole state

    def offer(self, news: str) -> None:
        """Hand on, unless it is behind; a page that left too much unread is."""
        if self.is_behind:
            return
        try:
            self.unread.put_nowait(news)
        except asyncio.QueueFull:
            self.is_behind = True
            while not self.unread.empty():
                self.unread.get_nowait()
            self.unread.put_nowait(None)  # wakes who waits, once it reads again


class Server:
    """The state, the pages that show it, and the way to the music. ``token``: what a visitor must know; None: nothing."""

    def __init__(self, folder: Path, token: str | None = None, out: Any = None) -> None:
        self.state = PanelState(Takes(folder))
        self.token, self.port = token, 0
        self._pages: set[Page] = set()
        self._asked: dict[str, tuple[Any, Page | None]] = {}  # to be sent to the music: by name the newest value, and who asked
        self._does: dict[str, Callable[[Any], object]] = {
            "run": self._run, "record": self._record, "finish": self._finish, "rename": self._rename, "remove": self._remove,
            "devices": self.look_for_devices, "setup": self._setup, "keep": self._keep, "trip": self._trip,
        }  # fmt: skip
        self._out = out or sys.stdout
        self._with_sound = False
        self._looking: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._paused_for_setup = False
        self._ticked_s = float("-inf")

    def application(self) -> web.Application:
        """What aiohttp serves."""
        app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BYTES)
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/socket", self._socket)
        app.router.add_get(r"/take/{number:\d{1,6}}.{kind:mid|csv|wav}", self._take)
        return app

    # ---- who may ask ---------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.token is None and request.headers.get("Host") not in {f"{name}:{self.port}" for name in OWN_NAMES}:
            return web.Response(status=403, text="this panel is for its own machine alone\n")
        if self.token is not None and not hmac.compare_digest(request.cookies.get(COOKIE, ""), self.token):
            return self._admit(request)
        response = cast("web.StreamResponse", await handler(request))
        if not response.prepared:  # as a socket is
            response.headers.update(HEADERS)
        return response

    def _admit(self, request: web.Request) -> web.Response:
        """With the link, in; a cookie then stands for it."""
        if request.path != "/" or not hmac.compare_digest(request.query.get("token", ""), self.token or ""):
            return web.Response(status=403, text="open the panel by the link that rt-melody printed\n")
        response = web.Response(status=303, headers={"Location": "/", **HEADERS})
        response.set_cookie(COOKIE, self.token or "", httponly=True, samesite="Strict")
        return response

    def _is_ours(self, request: web.Request) -> bool:
        """Whether the page that opens a socket came from here."""
        return request.headers.get("Origin") == f"http://{request.headers.get('Host')}"

    # ---- what is asked for ---------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = FILES[request.path]
        return web.Response(body=(HERE / name).read_bytes(), content_type=kind, charset="utf-8")

    async def _take(self, request: web.Request) -> web.Response:
        take, kind = self.state.takes.of(int(request.match_info["number"])), request.match_info["kind"]
        if take is None or kind not in take.files or not take.files[kind].exists():
            return web.Response(status=404, text="there is no such take\n")
        plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", take.name)
        name = f"attachment; filename=\"{plain}.{kind}\"; filename*=UTF-8''{quote(take.name, safe='')}.{kind}"
        return web.Response(body=take.files[kind].read_bytes(), content_type=TYPES[kind], headers={"Content-Disposition": name})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self._is_ours(request) or len(self._pages) >= PAGES:
            return web.Response(status=403, text="no page of another place may steer the music\n")
        socket = web.WebSocketResponse(max_msg_size=LARGEST_BYTES, heartbeat=20.0)
        await socket.prepare(request)
        page = Page()
        self._pages.add(page)
        if self._looking is None:  # nobody has asked before
            self.look_for_devices()
        speaking = asyncio.create_task(self._speak(socket, page))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._obey(message.data, page)
                elif message.type == WSMsgType.BINARY:
                    _refuse(page, "a message was passed over: it must be text")
        finally:
            self._pages.discard(page)
            speaking.cancel()
        return socket

    async def _speak(self, socket: web.WebSocketResponse, page: Page) -> None:
        with suppress(ConnectionError):
            while True:
                if page.is_behind:
                    page.is_behind = False
                    await socket.send_str(_as_json(self.state.whole()))
                news = await page.unread.get()
                if news is not None:
                    await socket.send_str(news)

    # ---- what pages ask of the music -----------------------------------------------------------

    def _obey(self, text: str, page: Page | None = None) -> None:
        """What cannot be understood is passed over, as our own page sends none of it; the page that did is told why."""
        wishes, refused = read_wishes(text)
        for what, value in wishes:
            if what == "set":
                self._asked[value[0]] = value[1], page
            else:
                self._does[what](value)
        for said in refused:
            _refuse(page, said)

    def _run(self, running: bool) -> None:
        self._asked[RUN] = running, None

    def _record(self, with_sound: bool) -> None:
        self._with_sound = with_sound
        self.state.record(self._with_sound)
        self.say(sound=self._with_sound)

    def _finish(self, _: Any) -> None:
        self.state.finish_take()
        self.say(sound=False)

    def _rename(self, pair: list[Any]) -> None:
        self.state.takes.rename(*pair)
        self.state.put("takes", self.state.takes.told())

    def _remove(self, number: int) -> None:
        self.state.takes.remove(number)
        self.state.put("takes", self.state.takes.told())

    def _setup(self, wanted: bool) -> None:
        """Begin to guide the singer, while nothing is played; or no more."""
        if not wanted:
            self.state.cancel_setup()
            return
        self.state.begin_setup()
        if not self.state.paused:
            self._paused_for_setup, self._asked[PAUSE] = True, (True, None)

    def _keep(self, name: str) -> None:
        """What the setup found, as a profile that is used from now on."""
        name = name.strip()
        try:
            if self.state.keep_setup(name, datetime.date.today().isoformat()):
                others = [chosen for chosen in self.state.profiles if chosen not in own_profiles()]
                self._asked[PROFILE] = [name, *others], None
                self._asked[FOLLOW] = name, None  # it was asked for last
        except RtMelodyError as error:
            self.state.take({"alert": str(error)})

    def _trip(self, output: int | str | None) -> None:
        """Measure the round trip by that output, an index or a name; None: forget what came of it."""
        if output is None:
            self.state.put("trip", None)
        elif not self.state.in_trip:
            self.state.begin_trip()
            self._measuring = asyncio.create_task(self._measure_trip(output))

    async def _measure_trip(self, output: int | str) -> None:
        """While nothing else listens, since not every device lets two listen."""
        source, began_stopped = self.state.settings.source, self.state.is_stopped
        self._asked[RUN] = False, None
        for _ in range(STOPPING_STEPS):
            if self.state.is_stopped:
                break
            await asyncio.sleep(STOPPING_STEP_S)
        self.state.end_trip(await measure_round_trip(output, source.device, source.rate), output)
        if not began_stopped:
            self._asked[RUN] = True, None

    def look_for_devices(self, _: Any = None) -> None:
        """What there is to listen to and to play on, now: shown once it is known."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._find_devices())

    async def _find_devices(self) -> None:
        for _ in range(LOADING_STEPS):  # the music comes first, for a while
            if not self.state.is_loading:
                break
            await asyncio.sleep(LOADING_STEP_S)
        self.state.put("devices", await find_devices())

    def say(self, **item: Any) -> None:
        """To the music."""
        with suppress(OSError, ValueError):
            self._out.write(json.dumps(item) + "\n")
            self._out.flush()

    def pass_on(self) -> None:
        """To the music, what pages have asked for since the last time. A value that does not fit is told to the page that sent it
        alone; what only the music knows, it judges, and tells all."""
        asked, self._asked = self._asked, {}
        settings = self.state.settings
        for name, (value, page) in asked.items():
            if name == RUN:
                self.say(run=value)
                continue
            try:
                if name in LIVE:
                    settings = change_setting(settings, name, value)
            except SettingsError as error:
                _refuse(page, str(error))
                continue
            self.say(send=[name, value])

    def tick_after(self, interval_s: float) -> None:
        """``tick``, where the last one is so long ago."""
        now_s = time.monotonic()
        if now_s - self._ticked_s >= interval_s:
            self._ticked_s = now_s
            self.tick()

    def tick(self) -> None:
        """The news to all pages, and what they ask to the music."""
        if self._paused_for_setup and not self.state.in_setup:
            self._paused_for_setup, self._asked[PAUSE] = False, (False, None)
        self.pass_on()
        if (now := self.state.takes.now) is not None and now.seconds:
            self.state.put("takes", self.state.takes.told())
        if (news := self.state.news()) and self._pages:
            text = _as_json(news)
            for page in self._pages:
                page.offer(text)


def _refuse(page: Page | None, said: str) -> None:
    if page is not None:
        page.offer(_as_json({"refused": said[:LONGEST_REFUSAL]}))


def _as_json(told: dict[str, Any]) -> str:
    return json.dumps(told, separators=(",", ":"), allow_nan=False, default=str)


async def _hear(server: Server) -> None:
    """What the music says, until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(LINE_LIMIT)
    if sys.platform == "win32":  # whose pipes asyncio cannot read
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            _take_line(server, line)
        return
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    while line := await reader.readline():
        _take_line(server, line)


def _take_line(server: Server, line: bytes) -> None:
    item = json.loads(line)
    if "sound" in item:
        import base64

        item["sound"] = base64.b64decode(item["sound"])
    server.state.take(item)
    if "heard" in item:
        server.tick_after(TICK_S)


async def _tick(server: Server) -> None:
    while True:
        await asyncio.sleep(IDLE_TICK_S)
        server.tick_after(IDLE_TICK_S)


async def _listen(runner: web.AppRunner, host: str, port: int, any_port: bool) -> int:
    """The port at which it listens. Raises OSError where there is none."""
    for wanted in [port, 0] if any_port else [port]:
        site = web.TCPSite(runner, host, wanted)
        try:
            await site.start()
        except OSError:
            await site.stop() if site in runner.sites else None
            if wanted == port and any_port:
                continue
            raise
        return runner.addresses[-1][1]
    raise AssertionError("a port was tried")


def _stand_back() -> None:
    """What plays music on this machine, ours or another's, comes before what shows it. Windows knows no such thing."""
    if hasattr(os, "nice"):
        os.nice(NICE)


async def serve(where: str, browse: bool) -> None:
    """Until the music's end."""
    host, port, any_port = parse_place(where)
    own = host in ("127.0.0.1", "::1", "localhost")
    with tempfile.TemporaryDirectory(prefix="rt-melody-") as folder:
        server = Server(Path(folder), None if own else secrets.token_urlsafe(18))
        runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=CLOSING_S)
        await runner.setup()
        try:
            server.port = await _listen(runner, host, port, any_port)
            name = f"[{host}]" if ":" in host else host
            url = f"http://{name}:{server.port}/" + (f"?token={server.token}" if server.token else "")
            server.say(url=url)
            if browse and has_browser():
                await asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)
            _stand_back()
            ticking = asyncio.create_task(_tick(server))
            await _hear(server)
            ticking.cancel()
            server.state.takes.finish()
        finally:
            await runner.cleanup()


def main(arguments: list[str]) -> None:
    """Serve as the one argument says, a JSON list: where, and whether to open a browser."""
    where, browse = json.loads(arguments[0])
    try:
        asyncio.run(serve(where, browse))
    except OSError as error:
        _, port, _ = parse_place(where)
        said = f"the panel cannot be served at port {port} ({error.strerror}); give another: --panel PORT"
        print(json.dumps({"error": said}), flush=True)
    except RtMelodyError as error:
        print(json.dumps({"error": str(error)}), flush=True)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
