"""What the panel shows: a state, the same for whoever looks, whenever they come.

Conventions
-----------
* ``whole`` is all that a page needs that has just been opened; ``news`` what has changed since the last call, for pages that are
  up to date.
* Times are in seconds from the first origin, and go on over skips and restarts.
* A frame is [time, pitch as played, voiced, confidence, level in dBFS, noise floor in dBFS]. An event is ["on", time, note, velocity,
  pitch], ["off", time, note] or ["bend", time, note, semitones].
"""

from __future__ import annotations

import base64
from collections import deque
from typing import Any

import numpy as np

from rt_melody.realtime.calibration import PHASE_S, PHASES, Calibration, Guide, calibrate, tightest_bound_ms
from rt_melody.realtime.control.desk import LIVE
from rt_melody.realtime.panel.describe import describe
from rt_melody.realtime.panel.takes import Takes
from rt_melody.realtime.panel.wire import unpack
from rt_melody.realtime.playing.gate import Gate
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.settings.profiles import told_profiles, write_profile
from rt_melody.realtime.sources.roundtrip import note_of, told_of
from rt_melody.realtime.types import KeyHeard, NoteOff, NoteOn, PitchBend, PitchFrame, hz_to_midi

REMEMBERED_FRAMES = 2400  # 12 to 24 s
REMEMBERED_EVENTS = 2000
SAID = 6  # sentences that are shown
ALERTS = 4  # that a page may have missed
MEASURING = {"measuring": True}
SURE_TURNS = 500  # of the session, for its figures to say what bound the machine keeps


class PanelState:
    """Fed with what comes from the music (see wire.py)."""

    def __init__(self, takes: Takes) -> None:
        self.takes, self.settings = takes, Settings()
        self._frames: deque[list[Any]] = deque(maxlen=REMEMBERED_FRAMES)
        self._events: deque[list[Any]] = deque(maxlen=REMEMBERED_EVENTS)
        devices: dict[str, Any] = {"inputs": [], "outputs": [], "midi": []}
        self._shown: dict[str, Any] = {
            "controls": describe(), "state": {"state": "loading"}, "said": [], "devices": devices, "profiles": told_profiles(),
            "setup": None, "trip": None, "alerts": [],
        }  # fmt: skip
        self._changed: set[str] = set()
        self._new_frames: list[list[Any]] = []
        self._new_events: list[list[Any]] = []
        self._posterior: list[Any] | None = None
        self._room = Gate()
        self._guide: Guide | None = None  # through the setup, while one is under way
        self._found: Calibration | None = None  # by the newest, until it is kept or thrown away
        self._trip_note = ""  # of the round trip, once it is measured, for the profile that is kept next
        self._first_origin_s: float | None = None
        self.origin_s = self._shift_s = 0.0

    def take(self, item: dict[str, Any]) -> None:
        """What the music said."""
        for kind, value in item.items():
            getattr(self, f"_take_{kind}")(value)

    def _take_origin(self, origin_s: float) -> None:
        if self._first_origin_s is None:
            self._first_origin_s = origin_s
        self.origin_s, self._shift_s = origin_s, origin_s - self._first_origin_s
        if self.takes.now is not None:
            self.takes.now.begin(origin_s)

    def _take_heard(self, heard: list[Any]) -> None:
        for item in unpack(heard):
            self._show(item)
            if (take := self.takes.now) is not None:
                take.hear(item)
                if take.is_long:
                    self.finish_take()
                    self._take_alert("the take has ended, since it lasted an hour; begin another")

    def _show(self, item: Any) -> None:
        if isinstance(item, PitchFrame):
            self._room.feed(item)
            self._guide_by(item)
            self._add(self._frames, self._new_frames, self._frame_row(item))
        elif isinstance(item, NoteOn):
            self._add(self._events, self._new_events, ["on", self._at(item), item.note, item.velocity, round(item.pitch, 3)])
        elif isinstance(item, NoteOff):
            self._add(self._events, self._new_events, ["off", self._at(item), item.note])
        elif isinstance(item, PitchBend):
            self._add(self._events, self._new_events, ["bend", self._at(item), item.note, round(item.semitones, 3)])
        elif isinstance(item, KeyHeard):
            self.put("key", item.name)

    def _at(self, item: Any) -> float:
        return round(item.time_s + self._shift_s, 3)

    def _frame_row(self, frame: PitchFrame) -> list[Any]:
        pitch = hz_to_midi(frame.f0_hz) + self.settings.performance.shift_semitones if frame.f0_hz > 0 else 0.0
        return [
            self._at(frame), round(pitch, 3), int(self._is_sung(frame)), round(frame.confidence, 2), round(frame.level_db, 1),
            round(self._room.floor_db, 1),
        ]  # fmt: skip

    def _is_sung(self, frame: PitchFrame) -> bool:
        """What a pause keeps from being played is shown all the same."""
        return frame.voiced or (self.paused and min(frame.voicing, frame.confidence) > 0.5)

    @staticmethod
    def _add(kept: deque[list[Any]], new: list[list[Any]], row: list[Any]) -> None:
        kept.append(row)
        new.append(row)

    def _take_posterior(self, told: list[Any]) -> None:
        time_s, voicing, row = told
        seen = (255.0 * voicing * np.frombuffer(base64.b64decode(row), np.float32)).astype(np.uint8)
        shift = round(self.settings.performance.shift_semitones, 3)
        self._posterior = [round(time_s + self._shift_s, 3), base64.b64encode(seen.tobytes()).decode(), shift]

    def _take_orders(self, orders: dict[str, Any]) -> None:
        self.settings = Settings(**orders.pop("settings"))
        if self.takes.now is not None:
            self.takes.now.change(self.settings)
        self.put("orders", orders)
        values = {name: self.settings.flat(name) for name in LIVE}
        played = self.settings.performance
        scale = played.fixed_scale
        self.put("settings", values)
        self.put("scale", sorted(scale.classes) if scale is not None and len(scale.classes) < 12 else [])

    def _take_state(self, parts: dict[str, Any]) -> None:
        self.put("state", {**self._shown["state"], **parts})
        if self.in_setup and parts.get("state") == "stopped":
            self._end_setup({"failed": parts.get("trouble") or "nothing is listened to; press Start"})

    def _take_figures(self, figures: dict[str, Any]) -> None:
        self.put("figures", figures)

    def _take_said(self, text: str) -> None:
        self.put("said", [*self._shown["said"][1 - SAID :], text])

    def _take_alert(self, text: str) -> None:
        """One that the player must not miss, nor where several come at once; numbered, so that a page knows which are new to it."""
        self._take_said(text)
        before = self._shown["alerts"]
        self.put("alerts", [*before[1 - ALERTS :], [before[-1][0] + 1 if before else 1, text]])

    def _take_sound(self, samples: Any) -> None:
        if self.takes.now is not None:
            self.takes.now.sound(samples)

    @property
    def paused(self) -> bool:
        """Whether nothing is played."""
        return bool(self._shown.get("orders", {}).get("paused"))

    @property
    def is_loading(self) -> bool:
        """Whether the music's end is getting ready."""
        return self._shown["state"]["state"] == "loading"

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is listened to."""
        return self._shown["state"]["state"] == "stopped"

    @property
    def profiles(self) -> list[str]:
        """Those that were chosen last."""
        return list(self._shown.get("orders", {}).get("profiles", []))

    # ---- the setup -----------------------------------------------------------------------------

    @property
    def in_setup(self) -> bool:
        """Whether the singer is being guided."""
        return self._guide is not None

    def begin_setup(self) -> None:
        """From the next frame on."""
        self._guide, self._found = Guide(), None
        self._show_guide(self._guide)

    def cancel_setup(self) -> None:
        """Forget it, and what it found."""
        self._found = None
        self._end_setup(None)

    def keep_setup(self, name: str, day: str) -> bool:
        """Write what was found as a profile; whether there was anything. Raises RtMelodyError where that cannot be."""
        if self._found is None:
            return False
        write_profile(name, self._found.profile(f"rt-melody profile {name}: made in the panel on {day}") + self._trip_note)
        self.put("profiles", told_profiles())
        self.cancel_setup()
        return True

    def _end_setup(self, shown: dict[str, Any] | None) -> None:
        self._guide = None
        self.put("setup", shown)

    def _guide_by(self, frame: PitchFrame) -> None:
        if (guide := self._guide) is None:
            return
        guide.feed(frame)
        if phase := guide.phase if guide.failed else None:
            self._end_setup({"failed": f"no voice was heard where it should be {phase.name}; see to the microphone, and try again"})
        elif guide.is_over:
            self._found = calibrate(guide.taken, self._bound_ms())
            self._end_setup({"lines": self._found.lines()})
        else:
            self._show_guide(guide)

    def _show_guide(self, guide: Guide) -> None:
        phase = guide.phase
        assert phase is not None  # it is not over
        told = {"ask": phase.ask, "number": len(guide.taken) + 1, "of": len(PHASES), "again": guide.again}
        self.put("setup", {**told, "phase": phase.name, "part": round(guide.elapsed_s / PHASE_S, 2)})

    def _bound_ms(self) -> int | None:
        """The tightest bound that the machine has kept, by the session's own figures."""
        figures, state = self._shown.get("figures"), self._shown["state"]
        if not figures or not figures["lateness_ms"] or figures["turns"] < SURE_TURNS or "least_bound_ms" not in state:
            return None
        worst_ms = figures["work_ms"]["median"] + figures["lateness_ms"]["p99.9"]
        return tightest_bound_ms(max(state["least_bound_ms"], worst_ms + state["hop_ms"]))

    # ---- the round trip ------------------------------------------------------------------------

    @property
    def in_trip(self) -> bool:
        """Whether it is being measured."""
        return self._shown["trip"] == MEASURING

    def begin_trip(self) -> None:
        """Say that it is being measured."""
        self.put("trip", MEASURING)

    def end_trip(self, answer: dict[str, Any], output: Any) -> None:
        """What came of it (see devices.py), by that output; and remember it."""
        if "error" in answer:
            self.put("trip", {"failed": answer["error"]})
            return
        names = {number: name for number, name, _ in self._shown["devices"]["outputs"]}
        self._trip_note = note_of(answer["ms"], str(names.get(output, output))) if answer["ms"] is not None else ""
        self.put("trip", {"said": told_of(answer["ms"], self.settings.tracking.latency_ms)})

    def put(self, name: str, value: Any) -> None:
        """Show this by that name."""
        if self._shown.get(name) != value:
            self._shown[name] = value
            self._changed.add(name)

    def record(self, with_sound: bool) -> None:
        """Begin a take."""
        rate = self._shown["state"].get("rate_hz") if with_sound else None
        self.takes.record(self.settings, self.origin_s, rate)
        self.put("takes", self.takes.told())

    def finish_take(self) -> None:
        """End it, and say so where nothing was heard in it."""
        if self.takes.finish():
            self._take_alert("nothing was heard in that take, so there is none; press Start, and record what you sing")
        self.put("takes", self.takes.told())

    def whole(self) -> dict[str, Any]:
        """All there is to show."""
        return {"whole": True, **self._shown, "takes": self.takes.told(), "frames": list(self._frames), "events": list(self._events)}

    def news(self) -> dict[str, Any]:
        """What has changed since the last call."""
        told: dict[str, Any] = {name: self._shown[name] for name in self._changed}
        for name, new in (("frames", self._new_frames), ("events", self._new_events)):
            if new:
                told[name] = new
        if self._posterior is not None:
            told["posterior"] = self._posterior
        self._changed, self._new_frames, self._new_events, self._posterior = set(), [], [], None
        return told
