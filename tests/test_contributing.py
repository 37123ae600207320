"""The examples of CONTRIBUTING.md are run as they stand there: what they promise in one file and one line holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rt_melody.realtime import midi_bytes

CHECKOUT = Path(__file__).resolve().parents[1]
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WHERE = re.compile(r"# (?P<path>[\w/]+\.py)(, in (?P<place>\w+))?\n")


def examples() -> dict[tuple[str, str | None], str]:
    """(path, place) -> code of every block that begins by naming its file: a whole file, or a line in a place of one."""
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    found = [(WHERE.match(block), block) for block in blocks]
    return {(match["path"], match["place"]): block[match.end() :] for match, block in found if match}


def insert(source: str, place: str, line: str) -> str:
    """``line`` as the first of the class, the tuple or the dict called ``place``."""
    opening = re.search(rf'^(class {place}\b.*:\n(    """(.|\n)*?"""\n\n)?|{place}\b.*[({{]\n)', source, re.M)
    assert opening, f"there is no {place}"
    return source[: opening.end()] + line + source[opening.end() :]


EXAMPLES = examples()


@pytest.fixture
def changed_package(tmp_path):
    """``changed_package(*paths)``: a copy of the product with the examples for these files in it, and a function that runs
    Python with it."""
    package = tmp_path / "site" / "rt_melody"
    for room in ("realtime", "kernels", "models"):
        shutil.copytree(CHECKOUT / room, package / room, ignore=shutil.ignore_patterns("training"))
    shutil.copy(CHECKOUT / "__main__.py", package)

    def change(*paths: str):
        for (path, place), code in EXAMPLES.items():
            file = package / path
            if path in paths:
                file.write_text(insert(file.read_text(encoding="utf-8"), place, code) if place else code, encoding="utf-8")

        def run(*arguments: str) -> subprocess.CompletedProcess:
            environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
            return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)

        return run

    return change


SINK = ("realtime/sinks/labels.py", "realtime/sinks/table.py", "realtime/settings/outputs.py")
BACK_END = ("realtime/sinks/midi_backends/raw_device.py", "realtime/sinks/midi_backends/__init__.py")


def test_every_example_is_run_here():
    assert {path for path, _ in EXAMPLES} == {*SINK, *BACK_END}


@pytest.mark.slow
def test_a_new_sink_is_a_file_and_a_line(changed_package, tmp_path):
    run = changed_package(*SINK)
    done = run("-m", "rt_melody", "--input", "demo", "--labels", "demo.txt", "--jsonl")
    assert done.returncode == 0, done.stderr
    labels = [line.split("\t") for line in (tmp_path / "demo.txt").read_text().splitlines()]
    heard = re.findall(r'"type": "note_on".*?"time_s": ([\d.]+)', done.stdout)
    assert len(labels) == len(heard) > 8, "the demo's notes"
    assert [float(on) for on, _, _ in labels] == pytest.approx([float(on_s) for on_s in heard], abs=1e-3)
    assert all(float(on) < float(off) and re.fullmatch(r"[A-G][b#]?\d", name) for on, off, name in labels)


@pytest.mark.slow
def test_a_new_sink_never_overwrites_what_is_read(changed_package, tmp_path):
    run = changed_package(*SINK)
    song, other = tmp_path / "song.wav", tmp_path / "other.wav"
    for path in (song, other):
        path.write_bytes(b"a take that nobody has twice")
    clash = run("-m", "rt_melody", "--input", "song.wav", "--labels", "song.wav")
    assert clash.returncode == 2 and "--labels song.wav is also the input song.wav" in clash.stderr, clash.stderr
    clash = run("-m", "rt_melody", "--input", "song.wav", "--labels", "a", "--csv", "a")
    assert clash.returncode == 2 and "overwrite" in clash.stderr
    several = run("-m", "rt_melody", "--input", "song.wav", "other.wav", "--labels", "song.wav")
    assert several.returncode == 2 and "song.wav is no folder" in several.stderr
    assert song.read_bytes() == other.read_bytes() == b"a take that nobody has twice"


@pytest.mark.slow
def test_a_new_setting_is_a_line(changed_package, tmp_path):
    run = changed_package(*SINK)
    assert "write the notes as a label track" in run("-m", "rt_melody", "--help").stdout
    printed = run("-m", "rt_melody", "--labels", "a.txt", "--print-config").stdout
    (tmp_path / "my.yaml").write_text(printed)
    assert 'labels: "a.txt"' in run("-m", "rt_melody", "--config", "my.yaml", "--print-config").stdout
    done = run("-m", "rt_melody", "--labels", "", "--input", "demo")
    assert done.returncode == 2 and "labels" in done.stderr and "must not be empty" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_new_midi_back_end_is_a_file_and_a_line(changed_package, tmp_path):
    run = changed_package(*BACK_END)
    code = """if True:
        from rt_melody.realtime.sinks.midi_backends import raw_device
        from rt_melody.realtime.cli import main
        raw_device.DEVICES = "midiC*"
        raise SystemExit(main(["--panic", "midiC1", "--midi-back-end", "raw-device"]))"""
    for name in ("midiC0D0", "midiC1D0"):
        (tmp_path / name).touch()
    done = run("-c", code)
    assert (done.returncode, done.stdout) == (0, "silenced midiC1D0\n"), done.stderr
    assert (tmp_path / "midiC1D0").read_bytes() == b"".join(midi_bytes.panic()) and (tmp_path / "midiC0D0").read_bytes() == b""
    (tmp_path / "midiC0D0").unlink()
    (tmp_path / "midiC1D0").unlink()
    done = run("-c", code)
    assert "raw-device, which finds no midiC*: plug an interface in" in done.stderr
