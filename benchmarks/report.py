"""How a result is written down: with the command, the versions and the machine that made it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LINE = 200  # characters of a line of JSON
PACKAGES = ("rt-melody", "torch", "numba", "numpy", "mir_eval")


def check_files(parser: argparse.ArgumentParser, **paths: Path | None) -> None:
    """Leave by ``parser.error``, before hours of measuring, where a result could not be written."""
    for name, path in paths.items():
        if path and (path.is_dir() or not path.parent.is_dir()):
            parser.error(f"--{name} {path} cannot be written; give the name of a file in a folder that exists")


def machine() -> dict:
    """What a reader needs to judge a figure."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version(), **versions}


def commit() -> str:
    """The checkout's commit, "" outside of one."""
    try:
        here = Path(__file__).parent
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
        return done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def command() -> str:
    """The command that is running, without the paths of this machine."""
    module = sys.modules["__main__"].__spec__
    words = [Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:]]
    return " ".join(["python -m", module.name.removesuffix(".__main__") if module else Path(sys.argv[0]).name, *words])


def write_result(path: Path, rows: object, about: str, model: dict | None = None, **more: object) -> None:
    """Rows with their circumstances, and whatever ``more`` there is beside them, as JSON."""
    whole = {
        "command": command(), "about": about, "commit": commit(), "machine": machine(), "model": model, "rows": rows, **more
    }
    path.write_text(readable_json(whole) + "\n", encoding="utf-8")


def measure_and_write(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    measure: Callable[[], tuple[list[dict], dict]],
    table: Callable[[list[dict]], str],
    about: str,
) -> None:
    """What a command with ``--every`` and ``--out`` does with its arguments: rows and where the model came from are measured,
    printed as a table, and written. Leaves by ``parser.error`` where that cannot be."""
    from rt_melody.models.training.data import DataError
    from rt_melody.realtime.errors import RtMelodyError

    if args.every < 1:
        parser.error(f"--every is {args.every}; give 1 or more")
    check_files(parser, out=args.out)
    try:
        rows, provenance = measure()
    except (RtMelodyError, DataError) as error:
        parser.error(str(error))
    print(table(rows))
    if args.out:
        write_result(args.out, rows, about, provenance)
        args.out.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


def measure_into_folder(
    args: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict],
    tables: Callable[[dict], str],
    write: Callable[[Path, dict], None],
) -> None:
    """What a command with a folder for ``--out`` does with its arguments: measure, print, write. Leaves with a sentence where that
    cannot be."""
    from rt_melody.models.training.data import DataError, refuse
    from rt_melody.realtime.errors import RtMelodyError

    try:
        result = measure(args)
    except (DataError, RtMelodyError, OSError) as error:
        refuse(str(error))
    print(tables(result))
    if args.out:
        write(args.out, result)


def can_draw() -> bool:
    """Whether matplotlib is there; where it is not, that is said."""
    if find_spec("matplotlib"):
        return True
    print("no picture: matplotlib is not installed; pip install matplotlib")
    return False


def refuse_counts(args: argparse.Namespace) -> None:
    """Leave where what a command with ``--every``, ``--jobs`` and a folder for ``--out`` was given cannot be."""
    from rt_melody.models.training.data import refuse

    if args.every < 1 or args.jobs < 1:
        refuse(f"--every {args.every}, --jobs {args.jobs}: both are 1 or more")
    if args.out and not args.out.is_dir():
        refuse(f"there is no folder {args.out}; make it first")


def readable_json(value: object, indent: int = 0) -> str:
    """JSON that reads and compares by lines: what fits into a line stands in one, the rest is opened, a line an item."""
    flat = json.dumps(value)
    if not isinstance(value, (dict, list)) or len(flat) + indent <= LINE:
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{pad}{json.dumps(key)}: {readable_json(item, indent + 1)}" for key, item in value.items()]
    else:
        items = [pad + readable_json(item, indent + 1) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + ",\n".join(items) + "\n" + " " * indent + closing


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; decimal numbers with one decimal place, None as nothing."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def median_and_most(values: Iterable[float | None]) -> str:
    """``median / most`` of those that are known, for a cell; empty where none is."""
    known = sorted(value for value in values if value is not None)
    return f"{known[len(known) // 2]:.2f} / {known[-1]:.2f}" if known else ""
