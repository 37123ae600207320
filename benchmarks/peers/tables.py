"""The comparison as Markdown, and as pictures (extra ``[plot]``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rt_melody.benchmarks.onsets import delay_marks
from rt_melody.benchmarks.peers.results import CHIEF_MS, LATENCIES_MS, at, median_ms, ranking
from rt_melody.benchmarks.peers.table import OURS
from rt_melody.benchmarks.report import markdown

EQUAL_MS = (20, CHIEF_MS, 100)
SHORT = {"synthetic 60-1400 Hz": "synthetic"}
BRIEF = ("voice", "mixture", "band +0 dB", "white 10 dB", "synthetic 60-1400 Hz")
PANELS = ("voice", "mixture", "white 10 dB")
DPI = 120


def report(result: dict) -> str:
    """Every table, each under its heading."""
    rows, peers = result["rows"], list(result["peers"])
    parts = [("Tools", tools_table(result)), ("Sounds", sounds_table(result["sets"]))]
    if rows["accuracy"]:
        parts.append(("In brief", brief_table(result)))
        parts.append((f"Where rt-melody stands at {CHIEF_MS} ms", ranking_table(rows["accuracy"])))
        for figure in ("OA", "RPA", "VFA"):
            parts.append((f"{figure} of all that was said, no limit", accuracy_table(rows["accuracy"], peers, None, figure)))
        for ms in EQUAL_MS:
            parts.append((f"OA at {ms} ms", accuracy_table(rows["accuracy"], peers, ms, "OA")))
        parts.append(("Stability", stability_table(rows["stability"])))
    if rows["latency"]:
        parts.append(("Latency: median (its 95 % interval, where it was stored) / p90 ms, and % never", latency_table(rows["latency"])))
    if rows["notes"]:
        parts.append(("Notes", notes_table(rows["notes"])))
    if result["costs"]:
        parts.append(("Cost", cost_table(result["costs"])))
    return "\n\n".join([_of_which_commits(result), *(f"### {title}\n\n{table}" for title, table in parts)]) + "\n"


def _of_which_commits(result: dict) -> str:
    here = f"Measured at commit {result['commit']}" if result.get("commit") else "Measured outside of a checkout"
    earlier = result.get("earlier_commits", [])
    return f"{here}; what that run did not measure is of commit {' and '.join(earlier)}." if earlier else f"{here}."


def tools_table(result: dict) -> str:
    lines = [(name, p["version"] or "-", p["settings"], result["unfit"].get(name, "")) for name, p in result["peers"].items()]
    return markdown(("tool", "version", "settings", "left out because"), lines)


def sounds_table(sets: dict[str, dict]) -> str:
    return markdown(("sounds", "how many", "seconds"), [(name, s["sounds"], s["seconds"]) for name, s in sets.items()])


def brief_table(result: dict) -> str:
    """What most readers want to know: OA at CHIEF_MS (offline tools: without a limit), latency, stability, cost."""
    rows = result["rows"]
    conditions = [c for c in BRIEF if any(r["condition"] == c for r in rows["accuracy"])]
    steady = {r["peer"]: r["changes_a_second"] for r in rows["stability"] if r["condition"] == "voice"}
    lines = []
    for name, about in result["peers"].items():
        columns = [at(rows["accuracy"], c, CHIEF_MS if about["live"] else None) for c in conditions]
        if any(name in column for column in columns):
            delays = [median_ms(rows["latency"], name, "steps, alone", event) for event in ("onset", "step")]
            share = result["costs"].get(name, {}).get("core_share")
            cost = f"{100 * share:.1f}" if share is not None else None
            told = ["never" if d is None else f"{d:.0f}" for d in delays] if about["live"] else ["offline", "offline"]
            lines.append((name, *(c[name]["OA"] if name in c else None for c in columns), *told, steady.get(name), cost))
    events = {r["event"]: r["events"] for r in rows["latency"] if r["condition"] == "steps, alone"}
    delays = (f"{event} ms (of {events[event]})" if event in events else f"{event} ms" for event in ("onset", "step"))
    return markdown(("tool", *(f"OA {SHORT.get(c, c)}" for c in conditions), *delays, "changes a second", "% of a core"), lines)


def ranking_table(rows: Sequence[dict]) -> str:
    places = ranking(rows, f"{OURS} {CHIEF_MS:g} ms", CHIEF_MS)
    return markdown(("condition", "place", "of", "OA", "best other", "its OA"), [tuple(p.values()) for p in places])


def accuracy_table(rows: Sequence[dict], peers: Sequence[str], latency_ms: float | None, figure: str) -> str:
    """A line a tool, a column a condition."""
    conditions = list(dict.fromkeys(r["condition"] for r in rows))
    columns = [at(rows, condition, latency_ms) for condition in conditions]
    lines = [(p, *(c[p][figure] if p in c else None for c in columns)) for p in peers if any(p in c for c in columns)]
    return markdown(("tool", *(SHORT.get(c) or c for c in conditions)), lines)


def stability_table(rows: Sequence[dict]) -> str:
    """Changes of note a second and octave leaps a minute; the truth's changes in the head."""
    conditions = list(dict.fromkeys(r["condition"] for r in rows))
    truth = {r["condition"]: r["true_changes_a_second"] for r in rows}
    cells = {(r["peer"], r["condition"]): f"{r['changes_a_second']:.1f} / {r['octave_leaps_a_minute']:.1f}" for r in rows}
    head = ("tool", *(f"{SHORT.get(c, c)} ({truth[c]:.1f})" for c in conditions))
    return markdown(head, [(p, *(cells.get((p, c)) for c in conditions)) for p in dict.fromkeys(r["peer"] for r in rows)])


def latency_table(rows: Sequence[dict]) -> str:
    conditions = list(dict.fromkeys(r["condition"] for r in rows))
    kinds = [(c, e) for c in conditions for e in ("onset", "step")]
    lines = []
    for peer, output in dict.fromkeys((r["peer"], r["output"]) for r in rows if r["output"] != "guess"):
        own = {(r["condition"], r["event"]): r for r in rows if (r["peer"], r["output"]) == (peer, output)}
        lines.append((peer, output, *(_delay(own.get(kind)) for kind in kinds)))
    events = {(r["condition"], r["event"]): r["events"] for r in rows}
    heads = (f"{event}, {condition.removeprefix('steps, ')} (of {events[condition, event]})" for condition, event in kinds)
    return markdown(("tool", "output", *heads), lines)


def _delay(row: dict | None) -> str:
    if row is None or row["never"] is None:
        return "-"
    return f"{' / '.join(delay_marks(row, ('median', 'p90')))}, {100 * row['never']:.0f} %"


def notes_table(rows: Sequence[dict]) -> str:
    lines = []
    for r in rows:
        live, delay = r["live"] or {}, (r["delay_ms"] or {}).get("median")
        scores = (f"{100 * r[k]['F']:.1f}" for k in ("onset", "note", "number"))
        leaps = r["octave_leaps_a_minute"]
        lines.append((r["peer"], r["condition"].removeprefix("notes, "), *scores, f"{100 * live['F']:.1f}" if live else None, delay, leaps))
    return markdown(
        ("tool", "sounds", "onset F", "note F", "F without bends", "F as sent live", "median delay ms", "octave leaps a minute"), lines
    )


def cost_table(costs: dict[str, dict]) -> str:
    lines = []
    for name, c in costs.items():
        live = (c["hop_ms"], c["hop_cpu_ms"], c["hop_wall_p99_ms"], f"{100 * c['core_share']:.1f}") if "hop_ms" in c else (None,) * 4
        hop, cpu, p99, share = live
        lines.append((
            name, hop and f"{hop:g}", cpu and f"{cpu:.2f}", p99 and f"{p99:.2f}", share, f"{c['times_real_time']:.1f}",
            f"{c['peak_mb']:.0f}", f"{c['install_mb']:.0f}", f"{c['own_mb']:.1f}", c["import_s"], c["start_s"],
        ))
    head = (
        "tool", "hop ms", "CPU ms a hop", "p99 ms", "% of a core", "times real time", "peak MB", "MB installed", "of it its own",
        "import s", "start s",
    )
    return markdown(head, lines)


# ---- pictures ----------------------------------------------------------------------------------


def draw(result: dict, folder: Path, name: str = "peers") -> list[Path]:
    """Accuracy over latency, and cost as area. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    made = []
    if result["rows"]["accuracy"]:
        made.append(_accuracy_over_latency(result["rows"]["accuracy"], folder / f"{name}-accuracy-over-latency.png"))
        if result["costs"] and result["rows"]["latency"]:
            made.append(_cost_as_area(result, folder / f"{name}-cost.png"))
    return made


def _accuracy_over_latency(rows: Sequence[dict], path: Path) -> Path:
    """A line a live tool, a mark at the right edge for an offline one; a panel a condition."""
    from matplotlib.figure import Figure

    panels = [c for c in PANELS if any(r["condition"] == c for r in rows)] or [rows[0]["condition"]]
    figure = Figure(figsize=(4.2 * len(panels), 5.6), dpi=DPI, layout="constrained")
    colours = _colours(dict.fromkeys(r["peer"] for r in rows))
    for axes, condition in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for name, (x, y) in curves(rows, condition).items():
            ours = name.startswith(OURS)
            axes.plot(
                x, y, marker="o", markersize=5 if ours else 3, linewidth=3 if ours else 1.2, color=colours.get(name, "black"), label=name
            )
        edge = 1.5 * LATENCIES_MS[-1]
        offline = {r["peer"]: r["pooled"]["OA"] for r in rows if r["condition"] == condition and not r["live"]}
        for name, oa in offline.items():
            axes.plot([edge], [oa], marker="_", markersize=14, linestyle="none", color=colours[name], label=f"{name} (offline)")
        axes.set(title=condition, xlabel="ms after the sound", ylabel="overall accuracy (%)", xscale="log")
        axes.set_xticks([*LATENCIES_MS[::2], edge], [*map(str, LATENCIES_MS[::2]), "offline"], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles = {label: h for a in figure.axes for h, label in zip(*a.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path)
    return path


def curves(rows: Sequence[dict], condition: str) -> dict[str, tuple[list[float], list[float]]]:
    """OA over latency of each live tool; rt-melody is one, at each latency the setting that is made for it."""
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for r in rows:
        if r["condition"] == condition and r["latency_ms"] is not None and not r["peer"].startswith(OURS):
            x, y = lines.setdefault(r["peer"], ([], []))
            x.append(r["latency_ms"])
            y.append(r["pooled"]["OA"])
    ours = []
    for ms in LATENCIES_MS:
        bounds = {float(p.split()[1]): v["OA"] for p, v in at(rows, condition, ms).items() if p.startswith(OURS)}
        fitting = [b for b in bounds if b <= ms]
        if fitting:
            ours.append((ms, bounds[max(fitting)]))
    return {**lines, OURS: ([ms for ms, _ in ours], [oa for _, oa in ours])} if ours else lines


def _cost_as_area(result: dict, path: Path) -> Path:
    """Each live tool at its step latency and its OA on the mixture (or what there is), as large as its CPU share."""
    from matplotlib.figure import Figure

    rows, costs = result["rows"], result["costs"]
    condition = next(c for c in ("mixture", rows["accuracy"][0]["condition"]) if any(r["condition"] == c for r in rows["accuracy"]))
    oa, colours = at(rows["accuracy"], condition, None), _colours(costs)
    figure = Figure(figsize=(10.0, 6.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    places = {}
    for name, c in costs.items():
        step_ms = median_ms(rows["latency"], name, "steps, alone", "step")
        if step_ms is not None and "core_share" in c and name in oa:
            places[name] = step_ms, oa[name]["OA"]
            axes.scatter(*places[name], s=40 + 4000 * c["core_share"], color=colours[name], alpha=0.55)
    axes.set(xlabel="median ms from a step of the pitch to the right output", ylabel=f"overall accuracy, {condition} (%)")
    axes.set_title("Area: CPU, in % of a core")
    axes.margins(0.2)
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()  # so that the scales are known
    texts = {name: f"{name}, {100 * costs[name]['core_share']:.1f} %" for name in places}
    for name, (dx, dy) in _apart({name: axes.transData.transform(place) * 72 / DPI for name, place in places.items()}).items():
        axes.annotate(texts[name], places[name], fontsize=8, xytext=(dx, dy), textcoords="offset points")
    figure.savefig(path)
    return path


def _apart(places: dict[str, Any], width: float = 150.0, height: float = 11.0) -> dict[str, tuple[float, float]]:
    """Offsets of labels, ``width`` by ``height``, beside their places (all in points) so that none covers another."""
    put: list[tuple[float, float]] = []
    offsets = {}
    for name, (x, y) in sorted(places.items(), key=lambda item: -item[1][1]):
        dx, dy = 6.0, 6.0
        while any(abs(x + dx - a) < width and abs(y + dy - b) < height for a, b in put):
            dy -= 1.0
        put.append((x + dx, y + dy))
        offsets[name] = dx, dy
    return offsets


def _colours(names) -> dict:
    from matplotlib import colormaps

    table = [colormaps["tab20"](i) for i in range(20)]
    others = [n for n in names if not n.startswith(OURS)]
    return {**{n: table[i % len(table)] for i, n in enumerate(others)}, **{n: "black" for n in names if n.startswith(OURS)}}
