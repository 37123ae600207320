"""The music's end of the panel: a sink that hands on what is heard, and the process that serves the page.

Conventions
-----------
* The page is served by a process of its own (see server.py), so that nothing that browsers do takes time from the music here. What
  goes there waits in a queue of ``MOST`` items, which a thread writes; what finds it full is dropped and counted.
* The sink hands on what it heard every ``BATCH_S`` of stream time, as it is: the thread that writes makes text of it. It is the last
  sink, and wakes that thread when the hop is through: what is done for the page is done while the music waits for sound.
* What comes from there is obeyed by a thread of its own, as often as the child sends, which is at most fifty times a second.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from rt_melody.realtime.control.desk import Desk, Orders
from rt_melody.realtime.errors import DeviceError, RtMelodyError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.panel.wire import pack
from rt_melody.realtime.settings.files import asked_values
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.timing.background import BackgroundWriter
from rt_melody.realtime.timing.figures import Figures
from rt_melody.realtime.types import NoteEvent, PitchFrame

BATCH_S = 0.029  # a little less than three hops: the page moves what it has between two messages
POSTERIOR_S = 0.059  # so often the posterior is shown: with every other message
MOST = 200  # items on their way to the child: seconds
SOUND_MOST = 150  # of them samples, so that the rest finds a place
HISTOGRAM_MS = 2.0  # width of the bins of lateness that are shown
GONE = "the panel's process has ended; the music goes on without it"


class Panel:
    """The process that serves the page, from now until ``close``.

    ``where``: HOST:PORT, PORT, or ``auto``; ``tell`` takes a sentence from another thread, ``on_url`` the page's address likewise, as
    soon as it can be opened; ``browse``: open a browser.
    """

    def __init__(
        self,
        desk: Desk,
        where: str,
        tell: Callable[[str], object] = lambda text: None,
        browse: bool = False,
        on_url: Callable[[str], object] = lambda url: None,
    ) -> None:
        self._desk, self._tell, self._on_url = desk, tell, on_url
        self._child = _serve(where, browse)
        assert self._child.stdin is not None and self._child.stdout is not None  # both were asked for
        self._pipe, self._answers = self._child.stdin, self._child.stdout
        self._answer: dict[str, str] = {}  # the first
        self._answered = threading.Event()
        self._writer: BackgroundWriter[dict[str, Any]] = BackgroundWriter(self._write, MOST)
        self._waiting_sound = 0
        self._sound_wanted = self._closing = False
        self.dropped = 0
        self.sink = PanelSink(self.send)
        desk.on_change = self._pass_on_orders
        self._pass_on_orders(desk.orders)
        self._reader = threading.Thread(target=self._hear, name="panel", daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """The page's address, which is waited for. Raises DeviceError where the page cannot be served."""
        self._answered.wait()
        if "url" not in self._answer:
            self._child.wait()
            raise DeviceError(self._answer["error"])
        return self._answer["url"]

    # ---- to the page ---------------------------------------------------------------------------

    def send(self, **item: Any) -> None:
        """Hand on, or drop; never waits."""
        if not self._writer.take(item):
            self.dropped += 1
            self._waiting_sound -= "sound" in item

    def _write(self, item: dict[str, Any]) -> None:
        if "sound" in item:
            self._waiting_sound -= 1
        try:
            self._pipe.write(JSON.encode(encoded(item)).encode() + b"\n")
            self._pipe.flush()
        except (OSError, ValueError):  # it has ended, as its reader says
            pass

    def _pass_on_orders(self, orders: Orders) -> None:
        told = {name: getattr(orders, name) for name in ("paused", "panics", "running", "profiles", "kept")}
        self.send(orders={"settings": asked_values(orders.settings), **told})

    def state(self, **parts: Any) -> None:
        """What is to be shown from now on."""
        self.send(state=parts)

    def figures(self, figures: Figures, counts: list[tuple[float, int]]) -> None:
        """How the session keeps time; ``counts``: of its lateness, (seconds, number) a bin of the spread."""
        bins: dict[int, int] = {}
        for late_s, count in counts:
            place = int(1000.0 * late_s / HISTOGRAM_MS)
            bins[place] = bins.get(place, 0) + count
        self.send(figures={**figures, "late_bins": sorted(bins.items()), "late_bin_ms": HISTOGRAM_MS, "dropped": self.dropped})

    def sound(self, block: np.ndarray) -> None:
        """Samples as they were heard, where a take is to hold them."""
        if not self._sound_wanted:
            return
        if self._waiting_sound >= SOUND_MOST:
            self.dropped += 1
            return
        self._waiting_sound += 1
        self.send(sound=(np.clip(block, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())

    def watch(self, tracker: MelodyTracker) -> None:
        """Show the posterior of this one."""
        self.sink.decoder = tracker.engine.decoder

    # ---- from the page -------------------------------------------------------------------------

    def _hear(self) -> None:
        line = self._answers.readline()
        self._answer = json.loads(line) if line else {"error": "the process that was to serve the panel did not start; try again"}
        self._answered.set()
        if "url" not in self._answer:
            return
        self._on_url(self._answer["url"])
        for line in self._answers:
            if not line.endswith(b"\n"):  # it was killed amid a word
                break
            asked = json.loads(line)
            try:
                if "send" in asked:
                    self._desk.send(*asked["send"])
                elif "run" in asked:
                    self._desk.run(asked["run"])
                elif "sound" in asked:
                    self._sound_wanted = asked["sound"]
            except RtMelodyError as error:
                self.send(alert=str(error))
        if not self._closing:
            self._tell(GONE)

    def close(self) -> None:
        """End the process that serves the page."""
        self._closing = True
        self._desk.on_change = _nothing
        self._writer.close()
        try:
            self._pipe.close()
        except OSError:  # it has ended before
            pass
        try:
            self._child.wait(2.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join(1.0)
        self._answers.close()

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def encoded(item: dict[str, Any]) -> dict[str, Any]:
    """An item as the wire has it: what the music's thread left to be done."""
    if "heard" in item:
        item = {**item, "heard": pack(item["heard"])}
    if "posterior" in item:
        time_s, voicing, row = item["posterior"]
        item = {**item, "posterior": [time_s, voicing, base64.b64encode(row).decode()]}
    if "sound" in item:
        item = {"sound": base64.b64encode(item["sound"]).decode()}
    return item


def _nothing(_: Orders) -> None: ...


def _plain(number: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return number.item()


JSON = json.JSONEncoder(default=_plain, separators=(",", ":"))


def _serve(where: str, browse: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rt_melody.realtime.panel.server", json.dumps([where, browse])]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=environment)


class PanelSink(EventSink):
    """Hands on what is heard. It shows how it goes, and is no output by itself."""

    name = "panel"
    is_output = False

    def __init__(self, send: Callable[..., object]) -> None:
        super().__init__()
        self._send = send
        self.decoder: Any = None  # whose posterior is shown
        self._heard: list[Any] = []
        self._sent_s = self._shown_s = float("-inf")

    def _start(self, origin_s: float) -> None:
        self.flush()
        self._sent_s = self._shown_s = float("-inf")  # times may begin anew
        self._send(origin=origin_s)

    _retime = _start

    def _frame(self, frame: PitchFrame) -> None:
        self._heard.append(frame)
        if frame.available_s - self._sent_s >= BATCH_S:
            self._sent_s = frame.available_s
            self.flush(frame)

    def _event(self, event: NoteEvent) -> None:
        self._heard.append(event)

    def flush(self, frame: PitchFrame | None = None) -> None:
        """Hand on what has been heard: with the frame that it ends in, or what the end of a run has left."""
        heard, self._heard = self._heard, []
        item: dict[str, Any] = {"heard": heard} if heard else {}
        if frame is not None and self.decoder is not None and frame.available_s - self._shown_s >= POSTERIOR_S:
            self._shown_s = frame.available_s
            item["posterior"] = frame.time_s, frame.voicing, self.decoder.posterior.tobytes()
        if item:
            self._send(**item)

    def _close(self) -> None:
        self.flush()
