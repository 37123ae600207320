"""The comparison of two builds: its arithmetic and its protocol, with builds whose cost is known; what cannot be built."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rt_melody.benchmarks import against
from rt_melody.benchmarks.against import CHILD, Build, BuildError, Measurer, Sounds, compare, install, make_sounds, ratios

THEN, NOW = Build("then", sys.executable), Build("now", sys.executable)

# A build in which everything takes SLEPT_S, and which says so as a real one does.
SLEEPER = """
import json, sys, time
time.sleep(SLEPT_S)
told = {"hops_s": [SLEPT_S] * 9 + [10 * SLEPT_S], "cpu_share": 2 * SLEPT_S, "cpu_s": 3 * SLEPT_S, "peak_mb": 100.0}
if sys.argv[1] == "file" and "short" in sys.argv[3]:
    told["cpu_s"] = SLEPT_S
print(json.dumps(told), flush=True)
"""


@pytest.fixture
def sounds(tmp_path):
    return Sounds(tmp_path / "hops.npy", tmp_path / "long.wav", tmp_path / "short.wav", 16000)


def sleeper(sounds, seconds):
    return Measurer(sounds, SLEEPER.replace("SLEPT_S", repr(seconds)))


def test_builds_that_sleep_a_known_time_have_the_ratios_of_their_times(sounds):
    slept_s = {"then": 0.04, "now": 0.01}
    measurers = {name: sleeper(sounds, seconds) for name, seconds in slept_s.items()}
    found = compare(THEN, NOW, against.WHAT, 2, lambda build, what: measurers[build.name](build, what))
    for side, seconds in slept_s.items():
        for figures in found[side]:
            assert set(figures) == set(against.FIGURES)
            assert figures["hop_ms"] == pytest.approx(1000 * seconds) and figures["paced_hop_ms"] == pytest.approx(1000 * seconds)
            assert figures["file_without_start_cpu_s"] == pytest.approx(2 * seconds)
            assert min(figures["start_s"], figures["file_s"]) >= seconds, "the clock runs from the start of the process"
    rows = ratios(found)
    for name in ("hop_ms", "hop_p999_ms", "paced_hop_ms", "cpu_share", "start_cpu_s", "file_cpu_s", "file_without_start_cpu_s"):
        assert [rows[name][key] for key in ("min", "median", "max")] == pytest.approx([0.25] * 3)
    assert rows["peak_mb"] == {"then": 100.0, "now": 100.0, "min": 1.0, "median": 1.0, "max": 1.0}


def test_ratios_are_those_of_one_round_each():
    """A machine that is slow in one round is slow for both builds: 2/4, 30/20 and 3/4, not the quotient of the medians."""
    found = {"then": [{"start_s": s} for s in (4.0, 20.0, 4.0)], "now": [{"start_s": s} for s in (2.0, 30.0, 3.0)]}
    assert ratios(found) == {"start_s": {"then": 4.0, "now": 3.0, "min": 0.5, "median": 0.75, "max": 1.5}}
    assert ratios({"then": [{"peak_mb": 1.0}], "now": [{}]}) == {}


def test_builds_take_turns_and_each_comes_first_in_turn():
    calls = []
    compare(THEN, NOW, ("hop", "file"), 2, lambda build, what: calls.append(f"{what} {build.name}") or {})
    assert calls == ["hop then", "hop now", "file then", "file now", "hop now", "hop then", "file now", "file then"]


def test_a_build_that_fails_is_a_sentence(sounds):
    with pytest.raises(BuildError, match="then does not run: ValueError: not today"):
        Measurer(sounds, "raise ValueError('not today')")(THEN, "hop")
    with pytest.raises(BuildError, match="then does not run: error: no such recording"):
        Measurer(sounds, SLEEPER.replace("SLEPT_S", "0.0") + "sys.exit('error: no such recording')")(THEN, "file")


def test_a_commit_that_does_not_exist_is_gits_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        against.main(["--commit", "no-such-commit"])
    assert ended.value.code == 2 and "git says: fatal:" in capsys.readouterr().err


REFUSED = (
    ["--rounds", "0"],
    ["--seconds", "1"],
    ["--seconds", "nan"],
    ["--minutes", "0"],
    ["--minutes", "inf"],
    ["--rate", "0"],
    ["--rate", "999"],
    ["--out", "no/such/folder/a.json"],
)


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_measured_is_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        against.main(["--commit", "HEAD", *words])
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_commit_that_does_not_build_is_pips_sentence(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'no_such_backend'\n[project]\nname = 'a'\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(checkout)]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "broken"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    monkeypatch.setattr(against, "CHECKOUT", checkout)
    with pytest.raises(BuildError, match="pip says: .*no_such_backend"):
        install("HEAD", tmp_path / "scratch")


@pytest.mark.slow
def test_this_build_is_measured(tmp_path):
    sounds = make_sounds(tmp_path, 16000, 2.0, 1.5)
    measurer = Measurer(sounds, CHILD.read_text(encoding="utf-8"))
    figures = measurer(NOW, "file")
    assert figures["file_s"] > 0.0 < figures["file_cpu_s"]
    rows = np.genfromtxt(sounds.long.with_suffix(".csv"), delimiter=",", skip_header=1, usecols=0)
    assert len(rows) > 130 and not np.isnan(rows).any(), "the command heard the recording"
