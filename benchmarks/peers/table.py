"""The tools that are compared, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rt_melody.benchmarks.peers import live, offline
from rt_melody.benchmarks.peers.base import Peer

OURS = "rt-melody"
PEERS: tuple[Callable[[], Peer], ...] = (
    lambda: live.AubioPitch("yinfft", 512, centre=0.5, tolerance=0.4, threshold=0.0),
    lambda: live.AubioPitch("yinfast", 256, centre=0.25, tolerance=0.3, threshold=0.75),
    live.AubioNotes,
    live.EssentiaYin,
    live.PraatLive,
    live.SwiftStream,
    live.SwiftEdge,
    lambda: live.PestoStream(0.0),
    lambda: live.PestoStream(1.0),
    live.CrepeLive,
    live.FcpeLive,
    offline.Swift,
    offline.SpleeterSwift,
    offline.Fcpe,
    offline.Praat,
    offline.Pesto,
    offline.Crepe,
    offline.Pyin,
    offline.Melodia,
    offline.BasicPitch,
)


def all_peers(bounds_ms: Sequence[float], model: str | None = None) -> dict[str, Peer]:
    """Unopened tools by name: rt-melody at each bound, then the others."""
    ours = [live.RtMelody(bound_ms, model) for bound_ms in bounds_ms]
    return {peer.name: peer for peer in (*ours, *(make() for make in PEERS))}
