"""Figures from what the tools said: one row for each tool and question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isinf

from rt_melody.benchmarks import onsets
from rt_melody.benchmarks.note_parts import PARTS, Heard, bias_semitones
from rt_melody.benchmarks.note_scores import PlayedNote
from rt_melody.benchmarks.peers.base import Peer
from rt_melody.benchmarks.peers.run import Bench, Told
from rt_melody.benchmarks.peers.scores import Track, accuracy, stability
from rt_melody.benchmarks.peers.sounds import SoundSet
from rt_melody.benchmarks.peers.table import OURS
from rt_melody.realtime.types import NoteEvent, NoteOff, NoteOn, PitchFrame

LATENCIES_MS = (10, 20, 30, 40, 50, 75, 100, 150, 200, 300)
CHIEF_MS = 50  # the latency of the ranking


def _latency(latency_s: float) -> float | None:
    """In ms; None for no limit."""
    return None if isinf(latency_s) else round(1000.0 * latency_s)


def accuracy_rows(peer: Peer, sounds: SoundSet, told: Told) -> list[dict]:
    """mir_eval's figures without a limit and, for live tools, at each of LATENCIES_MS."""
    limits = [inf, *(ms / 1000.0 for ms in LATENCIES_MS if peer.live)]
    rows = []
    for limit_s in limits:
        scores = accuracy(told.tracks, sounds.truth, limit_s)
        rows.append({
            "peer": peer.name, "live": peer.live, "condition": sounds.name, "latency_ms": _latency(limit_s),
            "pooled": scores.pooled(), "errors": scores.errors(),
        })
    return rows


def stability_row(peer: Peer, sounds: SoundSet, told: Told) -> dict:
    return {"peer": peer.name, "live": peer.live, "condition": sounds.name, **stability(told.tracks, sounds.truth)}


def latency_rows(peer: Peer, sounds: SoundSet, told: Told) -> list[dict]:
    """Onset and step delays of f0 and of note-ons, as far as the tool gives them."""
    answers = zip(told.tracks, told.notes, strict=True)
    records = onsets.measure(lambda _: _as_tracked(*next(answers)), sounds.sounds)
    outputs = [o for o in onsets.OUTPUTS if (peer.gives_notes if o == "note-on" else peer.gives_f0)]
    rows = []
    for event in ("onset", "step"):
        for output in outputs:
            chosen = [r for r in records if r["event"] == event]
            rows.append({
                "peer": peer.name, "condition": sounds.name, "event": event, "output": output,
                **onsets.summary([r[output] for r in chosen]),
            })
    return rows


def _as_tracked(track: Track, notes: Sequence[PlayedNote]) -> tuple[list[PitchFrame], list[NoteEvent]]:
    frames = frames_of(track)
    events: list[NoteEvent] = []
    for n in notes:
        events.append(NoteOn(n.on_s, n.available_s, n.number, 64, n.pitch_on))
        events.append(NoteOff(n.off_s, n.off_available_s, n.number))
    return frames, events


def frames_of(track: Track) -> list[PitchFrame]:
    columns = (track.time_s.tolist(), track.available_s.tolist(), track.f0_hz.tolist(), track.voiced.tolist())
    return [PitchFrame(i, t, a, f, v, 1.0, float(v), 0.0) for i, (t, a, f, v) in enumerate(zip(*columns))]


def note_row(peer: Peer, sounds: SoundSet, told: Told, biases: Sequence[float]) -> dict:
    """Note figures of benchmarks.notes; those that only a live tool can have are None for an offline one."""
    part = PARTS[sounds.name.removeprefix("notes, ")]
    heard = [Heard(clip, notes, bias) for clip, notes, bias in zip(sounds.clips, told.notes, biases, strict=True)]
    figures = {k: v for k, v in part.score(heard).items() if k not in ("takes", "octave_leaps")}
    if not peer.live:
        figures |= {"live": None, "delay_ms": None}
    return {"peer": peer.name, "live": peer.live, "condition": sounds.name, **figures}


def biases(sounds: SoundSet, told: Told) -> list[float]:
    """Of each clip's labels, by a tool's frames; 0 where the labels have none."""
    if not PARTS[sounds.name.removeprefix("notes, ")].biased:
        return [0.0] * len(sounds.clips)
    return [bias_semitones(frames_of(track), clip.notes) for clip, track in zip(sounds.clips, told.tracks)]


def gather(bench: Bench, peers: dict[str, Peer], wanted: dict[str, list[SoundSet]]) -> dict:
    """All rows by part: of each fit tool on the sets that it heard (``wanted``, by name of the tool)."""
    rows: dict[str, list[dict]] = {"accuracy": [], "stability": [], "latency": [], "notes": []}
    ours: dict[str, list[float]] = {}  # biases of the labels by our frames, for tools that give none
    for name, peer in peers.items():
        if name in bench.unfit:
            continue
        for sounds in wanted.get(name, []):
            told = bench.told(peer, sounds)
            if sounds.truth:
                rows["accuracy"] += accuracy_rows(peer, sounds, told)
                rows["stability"].append(stability_row(peer, sounds, told))
            elif sounds.sounds:
                rows["latency"] += latency_rows(peer, sounds, told)
            else:
                own = biases(sounds, told) if peer.gives_f0 else ours.get(sounds.name, [0.0] * len(sounds.clips))
                if name.startswith(OURS):
                    ours[sounds.name] = own
                rows["notes"].append(note_row(peer, sounds, told, own))
    return rows


# ---- as they are stored ------------------------------------------------------------------------

POOLED = ("OA", "RPA", "RCA", "VR", "VFA")


def packed(rows: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Rows for a file: of accuracy one a tool and condition, its figures side by side as lists over the latency limits."""
    by_place: dict[tuple[str, str], dict] = {}
    for r in rows["accuracy"]:
        place = by_place.setdefault((r["peer"], r["condition"]), {
            "peer": r["peer"], "live": r["live"], "condition": r["condition"], "latency_ms": [], **{name: [] for name in POOLED}
        })
        place["latency_ms"].append(r["latency_ms"])
        for name in POOLED:
            place[name].append(round(r["pooled"][name], 4))
        if r["latency_ms"] is None:
            place["errors"] = {name: round(share, 4) for name, share in r["errors"].items()}
    return {**rows, "accuracy": list(by_place.values())}


def unpacked(stored: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The rows that ``packed`` stored; what the errors are made of is known of those without a limit alone."""
    accuracy = []
    for place in stored["accuracy"]:
        for i, latency_ms in enumerate(place["latency_ms"]):
            accuracy.append({
                **{name: place[name] for name in ("peer", "live", "condition")}, "latency_ms": latency_ms,
                "pooled": {name: place[name][i] for name in POOLED}, **({"errors": place["errors"]} if latency_ms is None else {}),
            })
    return {**stored, "accuracy": accuracy}


# ---- where we stand ----------------------------------------------------------------------------


def at(rows: Iterable[dict], condition: str, latency_ms: float | None) -> dict[str, dict]:
    """Pooled figures by tool."""
    return {r["peer"]: r["pooled"] for r in rows if r["condition"] == condition and r["latency_ms"] == latency_ms}


def ranking(rows: Sequence[dict], ours: str, latency_ms: float) -> list[dict]:
    """For each condition our place by OA among the live tools, and the best other one; other settings of ours stand aside."""
    found = []
    for condition in dict.fromkeys(r["condition"] for r in rows):
        oa = {peer: p["OA"] for peer, p in at(rows, condition, latency_ms).items() if peer == ours or not peer.startswith(OURS)}
        if ours not in oa or len(oa) < 2:
            continue
        others = {peer: value for peer, value in oa.items() if peer != ours}
        best = max(others, key=lambda peer: others[peer])
        place = 1 + sum(value > oa[ours] for value in others.values())
        found.append({"condition": condition, "place": place, "of": len(oa), "OA": oa[ours], "best other": best, "its OA": others[best]})
    return found


def median_ms(rows: Iterable[dict], peer: str, condition: str, event: str, output: str = "f0") -> float | None:
    """The median delay; None where it is never, or not known."""
    for r in rows:
        if (r["peer"], r["condition"], r["event"], r["output"]) == (peer, condition, event, output):
            return r["median"]
    return None
