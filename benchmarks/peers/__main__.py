"""The command of the comparison; see the package for the protocol.

``python -m rt_melody.benchmarks.peers --data FOLDER --out runs/peers [--quick]``
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from rt_melody.benchmarks.peers import sounds as made
from rt_melody.benchmarks.peers.base import MISSING_SAYS, Peer
from rt_melody.benchmarks.peers.live import RtMelody
from rt_melody.benchmarks.peers.results import gather, packed, unpacked
from rt_melody.benchmarks.peers.run import COST_SECONDS, Bench, version_of, versions_of
from rt_melody.benchmarks.peers.sounds import SoundSet
from rt_melody.benchmarks.peers.table import all_peers
from rt_melody.benchmarks.peers.tables import draw, report
from rt_melody.benchmarks.report import commit, write_result
from rt_melody.benchmarks.trackers import melody_tracker
from rt_melody.models.training.data import DataError, data_folder, refuse
from rt_melody.realtime.errors import InputError, RtMelodyError

PARTS = ("accuracy", "latency", "notes", "cost")
# Sizes of a run: every n-th clip, synthetic melodies, first pitches of the step protocol, n-th clips of the note
# parts, seconds at the true pace.
WHOLE = {"every": 12, "sung": 12, "pitches": 2, "notes": {"clean": 2, "band": 2, "ssvd-measuring": 1}, "cost_s": COST_SECONDS}
QUICK = {"every": 60, "sung": 2, "pitches": 1, "notes": {"clean": 30}, "cost_s": 1.5}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rt_melody.benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/peers"), help="working folder: what was heard is kept there (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, help="folder for NAME.json, NAME.md and the pictures; default: --out")
    parser.add_argument("--name", default="peers", help="of the files in --results, without their ending (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few sounds, in under five minutes: to see that all runs")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only tools whose names contain one of these")
    parser.add_argument("--conditions", nargs="+", metavar="CONDITION", help="; ".join((*made.HEARD, made.SUNG)))
    parser.add_argument("--every", type=int, help=f"every n-th clip of the held-out singers (default: {WHOLE['every']})")
    parser.add_argument("--bounds-ms", nargs="+", type=float, default=[20.0, 50.0, 100.0], help="settings of rt-melody")
    parser.add_argument("--model", help="model file of rt-melody; default: the shipped one")
    parser.add_argument("--jobs", type=int, default=2, help="tools that hear at the same time (default: %(default)s)")
    parser.add_argument(
        "--beside",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="earlier results, the newest first: tables and pictures tell of what is not measured now",
    )
    parser.add_argument("--draw", action="store_true", help="measure nothing; write tables and pictures of NAME.json in --results anew")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run in --out has heard")
    parser.add_argument("--list", action="store_true", help="say which tools there are and which are installed, and leave")
    args = parser.parse_args(arguments)
    args.size = {**(QUICK if args.quick else WHOLE), **({"every": args.every} if args.every is not None else {})}
    if args.size["every"] < 1 or args.jobs < 1:
        refuse(f"--every {args.size['every']}, --jobs {args.jobs}: both are 1 or more")
    known = (*made.HEARD, made.SUNG)
    args.conditions = args.conditions or list(made.QUICK if args.quick else known)
    strange = [c for c in args.conditions if c not in known]
    if strange:
        refuse(f"there is no condition {strange[0]!r}; there are: {'; '.join(known)}")
    return args


def chosen_peers(args: argparse.Namespace) -> dict[str, Peer]:
    peers = all_peers(args.bounds_ms, args.model)
    if not args.peers:
        return peers
    kept = {n: p for n, p in peers.items() if any(word.lower() in n.lower() for word in args.peers)}
    if not kept:
        refuse(f"no tool's name contains {' or '.join(args.peers)}; there are: {', '.join(peers)}")
    return kept


def missing(peers: dict[str, Peer]) -> dict[str, str]:
    """Why tools are left out before they are tried."""
    absent = {n: [d for d in p.distributions if version_of(d) is None] for n, p in peers.items()}
    return {n: MISSING_SAYS.format(" ".join(names)) for n, names in absent.items() if names}


def sound_sets(args: argparse.Namespace) -> list[SoundSet]:
    """What is to be heard, in the order of the parts."""
    sets: list[SoundSet] = []
    needs_data = "accuracy" in args.parts or ("notes" in args.parts and any(p.startswith("ssvd") for p in args.size["notes"]))
    folder = data_folder(args.data) if needs_data else Path()
    if "accuracy" in args.parts:
        sets += made.recorded(folder, [c for c in made.HEARD if c in args.conditions], args.size["every"])
        sets += [made.sung(args.size["sung"])] if made.SUNG in args.conditions else []
    if "latency" in args.parts:
        sets += made.steps(args.size["pitches"])
    if "notes" in args.parts:
        sets += made.noted(folder, args.size["notes"])
    return sets


def hears(peer: Peer, sounds: SoundSet, quick: bool) -> bool:
    """Whether a tool is asked about a set: only live ones for latency, only what gives notes for notes."""
    if sounds.truth:
        return peer.gives_f0 and not (peer.few and (quick or sounds.name not in made.FEW))
    if sounds.sounds:
        return peer.live and not (peer.few and (quick or sounds.name != "steps, alone"))
    return peer.gives_notes


def measure(args: argparse.Namespace, peers: dict[str, Peer]) -> dict:
    """Hear, measure and gather. Raises RtMelodyError and DataError for what cannot be used."""
    ours = [p for p in peers.values() if isinstance(p, RtMelody)]
    model = [
        melody_tracker(p.sample_rate, args.model, latency_ms=p.bound_ms).engine.model.provenance for p in ours
    ]  # refuses what cannot run
    if args.fresh and args.out.exists():
        for name in ("sounds", "tracks", "cost"):
            shutil.rmtree(args.out / name, ignore_errors=True)
    bench = Bench(args.out, args.bounds_ms, args.model, args.jobs, missing(peers))
    fit = {n: p for n, p in peers.items() if n not in bench.unfit}
    sets = sound_sets(args)
    wanted = {n: [s for s in sets if hears(p, s, args.quick)] for n, p in fit.items()}
    bench.hear({n: (p, wanted[n]) for n, p in fit.items() if wanted[n]})
    fit = {n: p for n, p in fit.items() if n not in bench.unfit}
    costs = bench.costs(list(fit.values()), args.size["cost_s"]) if "cost" in args.parts else {}
    return {
        "rows": gather(bench, fit, wanted), "costs": costs, "unfit": bench.unfit, "model": model[0] if model else None,
        "peers": {n: {"version": versions_of(p), "live": p.live, "settings": p.settings} for n, p in peers.items()},
        "sets": {s.name: {"sounds": len(s.samples), "seconds": round(s.seconds, 1)} for s in sets}, "commit": commit(),
    }


def read_earlier(path: Path) -> dict:
    """An earlier result. Raises RtMelodyError for a file that is none."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: earlier[key] for key in ("rows", "costs", "unfit", "peers", "sets", "model", "commit")}
        return {**kept, "rows": unpacked(kept["rows"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no result of a comparison ({' '.join(str(error).split())}); give the NAME.json that one wrote"
        ) from error


def beside(new: dict, earlier: dict) -> dict:
    """Both results as one. Of each tool and part the newer rows; tools in the order of the earlier result."""
    peers = {**earlier["peers"], **new["peers"]}
    rows = {}
    for part in earlier["rows"]:
        measured = {row["peer"] for row in new["rows"][part]}
        together = [row for row in earlier["rows"][part] if row["peer"] not in measured] + new["rows"][part]
        rows[part] = sorted(together, key=lambda row: list(peers).index(row["peer"]))
    unfit = {name: why for name, why in earlier["unfit"].items() if name not in new["peers"]}
    return {
        "rows": rows, "peers": peers, "unfit": {**unfit, **new["unfit"]}, "costs": {**earlier["costs"], **new["costs"]},
        "sets": {**earlier["sets"], **new["sets"]}, "model": new["model"] or earlier["model"],
        "commit": new["commit"], "earlier_commits": [*new.get("earlier_commits", []), earlier["commit"]],
    }


def write(measured: dict, args: argparse.Namespace) -> None:
    """What was measured now, and nothing else, as NAME.json."""
    about = f"{'quick look, ' if args.quick else ''}every {args.size['every']}. clip of MIR-1K's held-out singers, the same for all tools"
    extra = {k: measured[k] for k in ("costs", "unfit", "peers", "sets")}
    write_result(folder_of(args) / f"{args.name}.json", packed(measured["rows"]), about, measured["model"], **extra)


def write_tables(result: dict, args: argparse.Namespace) -> None:
    """NAME.md, and pictures where matplotlib is."""
    (folder_of(args) / f"{args.name}.md").write_text(report(result), encoding="utf-8")
    try:
        draw(result, folder_of(args), args.name)
    except ImportError:
        print("no pictures: they need matplotlib, the extra [plot]", file=sys.stderr)


def folder_of(args: argparse.Namespace) -> Path:
    folder = args.results or args.out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_arguments(arguments)
    peers = chosen_peers(args)
    if args.list:
        absent = missing(peers)
        for name, peer in peers.items():
            print(f"{name:24} {'live' if peer.live else 'offline':8} {absent.get(name) or versions_of(peer)}")
        return
    try:
        earlier = [read_earlier(path) for path in args.beside]
        measured = read_earlier(folder_of(args) / f"{args.name}.json") if args.draw else measure(args, peers)
    except (DataError, RtMelodyError) as error:
        refuse(str(error))
    result = reduce(beside, earlier, measured)
    print(report(result))
    if not args.draw:
        write(measured, args)
    write_tables(result, args)
    for name, reason in result["unfit"].items():
        print(f"left out: {name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
