"""What the panel costs the music, and how soon its page draws, in a real browser.

``python -m rt_melody.benchmarks.panel --rounds 5 --seconds 8`` plays a recording of the demo's voice at the pace of the clock, in
turns: without the panel; with its page open and drawing in headless Chromium; with the page's tab frozen, as a browser does with one
that nobody looks at; under a flood of 1,000 messages a second over the page's own socket; with a client that opens the socket and
never reads. It prints, for each, the median of a hop's work and its ratio to the run without the panel of the same round, deadlines
missed and skips. ``--start N`` starts the program N times and prints when, after the start of the process, the page was drawn first, its
level stood, and the first stretch of the trail, with the browser open already; with ``--cold`` as at the very first start, with no
kernel compiled, and when the page said so. ``--out`` writes the rows as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rt_melody.benchmarks.report import check_files, write_result
from rt_melody.benchmarks.rig.studio import Program, RigMissing, melody_command, wait_until
from rt_melody.realtime.sources.demo import demo_phrase

RATE_HZ = 48_000
FLOOD_HZ = 1000.0
SETTLE_S = 30.0  # in which what is waited for must come about
COLD_S = 300.0  # the same where everything is compiled first
HANDSHAKE = (
    "GET /socket HTTP/1.1\r\nHost: {place}\r\nOrigin: http://{place}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# In the page, before it is loaded: when its roll, its level and its trail were drawn first, in ms since 1970.
WATCH = """
window.firstDrawn = {};
const look = () => {
  requestAnimationFrame(look);
  const note = (name, is) => { if (!(name in firstDrawn) && is) firstDrawn[name] = Date.now(); };
  const roll = document.getElementById('roll'), level = document.getElementById('level-text');
  note('page', roll && roll.width > 300);
  const hint = document.getElementById('hint-text');
  if (hint && hint.textContent.includes('only this once')) note('told', true);
  note('level', level && level.textContent.endsWith('dBFS'));
  const cents = document.getElementById('cents');  // told by the same picture that has the end of the trail
  note('trail', cents && cents.textContent.endsWith('cents'));
};
requestAnimationFrame(look);
"""


# ---- a browser, and clients that are none -----------------------------------------------------------


def find_browser() -> Any:
    """Headless Chromium under its driver. Raises RigMissing with the name of what is not there."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        raise RigMissing("selenium is not installed (pip install 'rt-melody[rig]')") from error
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            raise RigMissing(f"{name} is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,800"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


@contextmanager
def nobody(place: str) -> Iterator[None]:
    """The panel is there, and its page open nowhere."""
    yield


class Browser:
    """One browser for all runs; ``page`` and ``asleep`` are what it does with the panel at ``place`` (HOST:PORT)."""

    def __init__(self) -> None:
        self.driver = find_browser()

    @contextmanager
    def page(self, place: str) -> Iterator[None]:
        """Open and drawing."""
        self.driver.get(f"http://{place}/")
        try:
            yield
            if self.driver.execute_script("return frames.length") < 100:
                raise AssertionError("the page drew nothing")
        finally:
            self.driver.get("about:blank")

    @contextmanager
    def asleep(self, place: str) -> Iterator[None]:
        """Open, and frozen."""
        self.driver.get(f"http://{place}/")
        self.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
            self.driver.get("about:blank")


def _connect(place: str) -> socket.socket:
    """The page's socket, opened by hand."""
    host, _, port = place.partition(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(HANDSHAKE.format(place=place).encode())
    return client


@contextmanager
def unread(place: str) -> Iterator[None]:
    """A client that never reads."""
    with _connect(place):
        yield


def frame_of(text: str) -> bytes:
    """A text message of less than 126 bytes as a client of a web socket sends it (RFC 6455), under a mask of zeros."""
    data = text.encode()
    assert len(data) < 126, "a short message"
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


@contextmanager
def flood(place: str) -> Iterator[None]:
    """A client that reads all, and sends FLOOD_HZ settings a second."""
    client, over = _connect(place), threading.Event()
    messages = [frame_of(json.dumps({"set": ["velocity_range", [-60.0 + step, -6.0]]})) for step in range(10)]

    def send() -> None:
        begun_s, sent = time.perf_counter(), 0
        while not over.is_set():
            due = int((time.perf_counter() - begun_s) * FLOOD_HZ)
            for number in range(sent, due):
                client.sendall(messages[number % len(messages)])
            sent = max(sent, due)
            time.sleep(0.005)

    def read() -> None:
        with suppress(OSError):
            while client.recv(1 << 16):
                pass

    threads = [threading.Thread(target=act, daemon=True) for act in (send, read)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        threads[0].join()
        client.shutdown(socket.SHUT_RDWR)
        threads[1].join()
        client.close()


# ---- the cost ---------------------------------------------------------------------------------------


def recording(folder: Path, seconds: float) -> Path:
    """The demo's voice, over and over."""
    song = demo_phrase(RATE_HZ).samples
    path = folder / "song.wav"
    soundfile.write(path, np.resize(song, round(seconds * RATE_HZ)), RATE_HZ, subtype="FLOAT")
    return path


def measure_cost(folder: Path, name: str, visit: Callable[[str], Any] | None, seconds: float) -> dict[str, Any]:
    """One run to its end; ``visit``: what happens to the panel meanwhile, None: there is none. Figures of the session."""
    stats = folder / "stats.jsonl"
    options = ["--input", str(recording(folder, seconds)), "--realtime", "--listen", "off", "--stats-file", str(stats)]
    program = Program([*melody_command(), *options, *(["--panel", "0"] if visit else [])], dict(os.environ, RT_MELODY_SILENT="1"), folder)
    try:
        with visit(address_of(program)) if visit else nobody(""):
            wait_until(lambda: " voiced, " in program.stderr or program.process.poll() is not None, SETTLE_S + seconds, "the run's end")
        assert visit is None or program.process.poll() is None, f"the program ended early: {program.stderr[-500:]}"
    finally:
        program.signal()
        program.wait()
        program.close()
    figures = json.loads(stats.read_text().splitlines()[-1])
    return {"of": name, **{key: figures[key] for key in ("work_ms", "turns", "deadlines_missed", "skips", "lateness_ms", "cpu_share")}}


def address_of(program: Program) -> str:
    """HOST:PORT of its panel."""
    wait_until(lambda: program.assert_running() or "the panel is at " in program.stderr, SETTLE_S, "its address")
    return program.stderr.split("the panel is at http://")[1].split("/")[0]


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each kind of run its hop and its losses beside the runs without the panel of the same rounds."""
    kinds = list(dict.fromkeys(row["of"] for row in rows))
    base = [row["work_ms"]["median"] for row in rows if row["of"] == kinds[0]]
    lines = ["| | runs | hop, median, ms | ratio of rounds, median (quartiles) | p99, ms | deadlines missed | skips |", "|" + 7 * "---|"]
    for kind in kinds:
        mine = [row for row in rows if row["of"] == kind]
        hops = [row["work_ms"]["median"] for row in mine]
        ratios = np.array([hop / without for hop, without in zip(hops, base, strict=False)])
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        missed, turns = sum(row["deadlines_missed"] for row in mine), sum(row["turns"] for row in mine)
        p99 = statistics.median(row["work_ms"]["p99"] for row in mine)
        lines.append(
            f"| {kind} | {len(mine)} | {statistics.median(hops):.2f} | {middle:.3f} ({low:.3f} to {high:.3f}) | {p99:.2f} | "
            f"{missed} of {turns} ({100 * missed / turns:.2f} %) | {sum(row['skips'] for row in mine)} |"
        )
    return "\n".join(lines)


# ---- the start --------------------------------------------------------------------------------------


def watch(driver: Any) -> None:
    """Have every page note when it was drawn first, for ``measure_start``."""
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})


def measure_start(folder: Path, driver: Any, cold: bool = False) -> dict[str, float]:
    """Seconds from the start of the process to the page's first pictures, the browser being open. ``cold``: with no kernel compiled."""
    settle_s = COLD_S if cold else SETTLE_S
    environment = dict(os.environ, NUMBA_CACHE_DIR=tempfile.mkdtemp(dir=folder)) if cold else dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    begun_s = time.time()
    options = ["--panel", place.partition(":")[2], "--input", "demo", "--listen", "off"]
    program = Program([*melody_command(), *options], environment, folder)
    try:
        wait_until(lambda: program.assert_running() or _answers(place), settle_s, "the page")  # then the program opens a browser there
        served_s = time.time() - begun_s
        driver.get(f"http://{place}/")
        try:
            drawn = wait_until(lambda: _drawn(driver), settle_s, "the trail")
        except AssertionError as error:
            seen = driver.execute_script("return [firstDrawn, document.getElementById('state-text').textContent, frames.length]")
            raise AssertionError(f"{error}: in the page {seen}; the program said {program.stderr[-500:]}") from None
    finally:
        program.signal()
        program.wait()
        program.close()
        driver.get("about:blank")
    return {"served": served_s, **{name: ms / 1000.0 - begun_s for name, ms in drawn.items()}}


def _answers(place: str) -> bool:
    host, _, port = place.partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), 0.2):
        return True
    return False


def _drawn(driver: Any) -> dict[str, float] | None:
    drawn = driver.execute_script("return window.firstDrawn || {}")
    return drawn if "trail" in drawn else None


def start_table(rows: list[dict[str, float]]) -> str:
    """Markdown: medians and the longest."""
    words = {
        "served": "the page is served", "page": "the page is drawn", "told": "it says that it prepares itself", "level": "the level stands",
        "trail": "the trail begins",
    }  # fmt: skip
    lines = ["| | median, s | longest, s |", "|---|---|---|"]
    for name, word in words.items():
        if not all(name in row for row in rows):
            continue
        seconds = [row[name] for row in rows]
        lines.append(f"| {word} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="besides the run without the panel: closed, open, asleep, flood, unread")
    parser.add_argument("--start", type=int, metavar="N", help="measure N starts instead")
    parser.add_argument("--cold", action="store_true", help="with --start: as at the very first one")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    check_files(parser, out=args.out)
    try:
        browser = Browser()
    except RigMissing as error:
        parser.error(str(error))
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows, text = _starts(Path(folder), browser, args) if args.start else _costs(Path(folder), browser, args)
    finally:
        browser.driver.quit()
    print(text)
    if args.out:
        write_result(args.out, rows, "the panel's page in headless Chromium")


def _starts(folder: Path, browser: Browser, args: argparse.Namespace) -> tuple[list[Any], str]:
    watch(browser.driver)
    rows = [measure_start(folder, browser.driver, args.cold) for _ in range(args.start)]
    return rows, start_table(rows)


def _costs(folder: Path, browser: Browser, args: argparse.Namespace) -> tuple[list[Any], str]:
    kinds = {"closed": nobody, "open": browser.page, "asleep": browser.asleep, "flood": flood, "unread": unread}
    visits = {"without": None, **{name: visit for name, visit in kinds.items() if name in (args.only or kinds)}}
    rows: list[dict[str, Any]] = []
    for number in range(args.rounds):
        for name, visit in visits.items():
            rows.append(measure_cost(folder, name, visit, args.seconds))
            print(f"{number + 1}: {name}, {rows[-1]['work_ms']['median']:.3f} ms", file=sys.stderr, flush=True)
    return rows, cost_table(rows)


if __name__ == "__main__":
    main()
