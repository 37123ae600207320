"""The panel of one instance of the plugin: what it hears, in the browser, while the host's parameter asks for it.

Conventions
-----------
* It is opened and closed by a thread of its own: a page takes a second to begin, and no sound waits for that.
* The settings belong to the host, which may automate them: the page shows them, and a change that it asks for is refused in a
  sentence. Takes are kept as ever.
* All other calls come from the thread that hears.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rt_melody.realtime.control.desk import Desk, Orders
from rt_melody.realtime.errors import RtMelodyError, SettingsError, missing_package
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.types import PitchFrame

if TYPE_CHECKING:
    from rt_melody.realtime.panel.link import Panel

HOSTS = "in the plugin this is the host's to change: turn it in the plugin's window there"
WHERE = "auto"  # another instance may have the usual port


class HostDesk(Desk):
    """Shows what the host has set, and takes nothing from a page."""

    def show(self, settings: Settings) -> None:
        """These are in force, and none of them was asked for by a page."""
        self.put(Orders(settings))

    def send(self, name: str, value: Any = None) -> None:
        """Raises SettingsError."""
        raise SettingsError(HOSTS)

    def run(self, running: bool = True) -> None:
        """Raises SettingsError."""
        raise SettingsError(HOSTS)


class InstancePanel:
    """There while ``want`` was last called with True; ``tell`` takes a sentence, from another thread."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._desk = HostDesk()
        self._open: Panel | None = None
        self._shown: Panel | None = None  # that knows what is heard
        self._wanted = False
        self._one_at_a_time = threading.Lock()

    def want(self, wanted: bool) -> None:
        """Open it, or close it, in a while."""
        if wanted != self._wanted:
            self._wanted = wanted
            threading.Thread(target=self._follow, name="panel-opener", daemon=True).start()

    def _follow(self) -> None:
        with self._one_at_a_time:
            if self._wanted and self._open is None:
                self._open = self._opened()
            elif not self._wanted and self._open is not None:
                panel, self._open = self._open, None
                panel.close()

    def _opened(self) -> Panel | None:
        if find_spec("aiohttp") is None:
            self._tell(missing_package("the panel", "aiohttp"))
            return None
        from rt_melody.realtime.panel.link import Panel

        try:
            panel = Panel(self._desk, WHERE, self._tell, browse=True)
        except RtMelodyError as error:
            self._tell(str(error))
            return None
        self._tell(f"the panel of this instance is at {panel.url}")
        return panel

    # ---- what it shows -------------------------------------------------------------------------

    def begin(self) -> None:
        """Another stream, or another tracker."""
        self._shown = None

    def change(self, settings: Settings) -> None:
        """The host has set them."""
        if settings is not self._desk.settings:
            self._desk.show(settings)

    def take(self, tracker: MelodyTracker, heard: Heard) -> None:
        """What the tracker heard."""
        panel = self._open
        if panel is None:
            return
        if isinstance(heard, PitchFrame):
            if panel is not self._shown:
                self._shown = panel
                self._introduce(panel, tracker, time.perf_counter() - heard.available_s)
            panel.sink.frame(heard)
        elif panel is self._shown:
            panel.sink.event(heard)

    @staticmethod
    def _introduce(panel: Panel, tracker: MelodyTracker, origin_s: float) -> None:
        latency = tracker.latency
        panel.watch(tracker)
        panel.state(
            state="listening", source="the host's track", rate_hz=tracker.sample_rate, hop_ms=1000.0 * tracker.hop_s,
            latency=[[part.name, part.ms] for part in latency.parts] + [["note confirmation", latency.confirmation_ms]],
            bound_ms=latency.bound_ms, total_ms=latency.total_ms, least_bound_ms=tracker.least_bound_ms, outputs=["the host"],
        )  # fmt: skip
        panel.sink.start(origin_s)
