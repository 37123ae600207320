"""A corpus: each recording once, whatever breaks in between, and a sentence for what cannot be."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.realtime import OutputError, RtMelodyError, track, track_bag
from rt_melody.realtime.cli import main
from rt_melody.realtime.commands import extract as command
from rt_melody.realtime.corpus import cluster
from rt_melody.realtime.corpus.extract import by_processes, extract
from rt_melody.realtime.corpus.extraction import PARTIAL, Extraction, Extractor, sha256
from rt_melody.realtime.corpus.inputs import find_recordings
from rt_melody.realtime.corpus.manifest import Manifest
from rt_melody.realtime.corpus.workers import Outcome
from rt_melody.realtime.settings import Settings, make_settings
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000
LONG = 300 * "a"  # a name that no system takes
pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def corpus(in_folder) -> list[str]:
    """The folder ``in``: three recordings in two folders, one of another rate, and what is none."""
    song = demo_phrase(RATE).samples
    for name, seconds in (("in/a/one", 2), ("in/a/two", 1), ("in/b/deep/three", 1)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(f"{name}.wav", song[: seconds * RATE], RATE)
    soundfile.write("in/b/other.flac", demo_phrase(22050).samples[:22050], 22050)
    Path("in/b/bad.wav").write_text("no audio")
    Path("in/notes.txt").write_text("no recording")
    return ["a/one", "a/two", "b/bad", "b/deep/three", "b/other"]


def in_process(extraction):
    """What works here, without the seconds that a process takes to begin."""
    extractor = Extractor(extraction)

    def outcomes(todo, stop):
        for recording in todo:
            if stop():
                return
            try:
                yield Outcome(recording, extractor(recording))
            except OutputError as error:
                yield Outcome(recording, error=error)

    return outcomes


def run(out="out", formats=("csv", "midi"), settings=None, outcomes=in_process, signals=None) -> int:
    extraction = Extraction(settings or Settings(), formats, str(Path(out).absolute()))
    recordings = find_recordings(["in"], [], [], Path(out))
    return extract(extraction, recordings, outcomes(extraction), signals or StopSignals())


def results(out="out") -> dict[str, bytes]:
    """Every file but the manifest, by its path."""
    paths = [path for path in Path(out).rglob("*") if path.is_file() and path.name not in ("manifest.jsonl", ".rt-melody.lock")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def entries(out="out") -> dict[str, dict]:
    lines = [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]
    assert lines[0]["manifest"] == 1 and len({line["path"] for line in lines[1:]}) == len(lines) - 1
    return {line["path"]: line for line in lines[1:]}


def test_each_recording_has_its_results_where_it_had_its_place(corpus, capsys):
    assert run() == 1, "one failed"
    assert set(results()) == {f"{name}.{ending}" for name in corpus if name != "b/bad" for ending in ("csv", "mid")}
    for name in ("in/a/two.wav", "in/b/other.flac"):
        assert main(["--input", name, "--csv", "alone.csv", "--midi-file", "alone.mid", "--quiet"]) == 0
        stem = Path("out", Path(name).relative_to("in")).with_suffix("")
        assert Path("alone.csv").read_bytes() == Path(f"{stem}.csv").read_bytes()
        assert Path("alone.mid").read_bytes() == Path(f"{stem}.mid").read_bytes()
    said = capsys.readouterr().err
    assert "rt-melody: in/b/bad.wav is not audio" in said and "1 of 5 recordings failed: in/b/bad.wav" in said
    assert list(entries()) == corpus and [e["status"] for e in entries().values()] == ["done", "done", "failed", "done", "done"]
    one = entries()["a/one"]
    assert one["seconds"] == 2.0 and len(one["sha256"]) == 64 and one["ms"] > 0 and one["version"] and one["model"] and one["settings"]


def test_given_again_it_does_what_is_left(corpus):
    run()
    before, told = results(), entries()
    Path("out/a/one.mid").unlink()  # somebody took a result away
    song = demo_phrase(RATE).samples[: RATE // 2]
    soundfile.write("in/a/two.wav", song, RATE)  # and changed a sound
    os.utime("in/b/other.flac", (1, 1))  # this one is only touched
    heard = []

    def watching(extraction):
        outcomes = in_process(extraction)
        return lambda todo, stop: (heard.append((o.task.name, o.result["status"])) or o for o in outcomes(todo, stop))

    assert run(outcomes=watching) == 1
    assert heard == [("a/one", "done"), ("a/two", "done"), ("b/bad", "failed"), ("b/other", "same")]
    after = results()
    assert after.pop("a/two.csv") != before.pop("a/two.csv") and after.pop("a/two.mid") != before.pop("a/two.mid")
    assert after == before and entries()["b/deep/three"] == told["b/deep/three"]
    assert entries()["a/two"]["seconds"] == 0.5 and entries()["b/other"]["sha256"] == told["b/other"]["sha256"]


@pytest.mark.slow
def test_processes_and_breaks_change_no_byte(corpus):
    assert run("whole", outcomes=in_process) == 1
    assert run("two", outcomes=lambda extraction: by_processes(extraction, 2)) == 1
    assert results("two") == results("whole") and list(entries("two")) == list(entries("whole"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_broken_off_and_begun_again_it_is_as_unbroken(corpus, number):
    for i in range(16):
        shutil.copy("in/a/one.wav", f"in/a/{i:02}.wav")
    assert run("whole") == 1
    command = [sys.executable, "-m", "rt_melody", "extract", "in", "--out", "out", "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(Path().glob("out/a/*.csv")) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random(int(number)).uniform(0.0, 0.1))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    assert process.wait(60) == (130 if number == signal.SIGINT else -9)
    whole, there = results("whole"), results()
    if number == signal.SIGINT:
        assert not Path("out", PARTIAL).exists() and 0 < len(there) < len(whole)
    assert {name: data for name, data in there.items() if PARTIAL not in name}.items() <= whole.items()
    assert run() == 1 and results() == whole and list(entries()) == list(entries("whole"))
    assert not Path("out", PARTIAL).exists()


def test_a_manifest_that_was_cut_off_goes_on(corpus):
    run()
    whole, path = results(), Path("out/manifest.jsonl")
    path.write_bytes(path.read_bytes()[:-100])  # as where the power failed
    assert run() == 1 and results() == whole and list(entries()) == corpus


def test_a_recording_that_kills_its_workers_is_told_and_left(corpus, capsys):
    def deadly(extraction):
        outcomes = in_process(extraction)
        dead = lambda o: Outcome(o.task, died=("SIGKILL", "SIGKILL")) if o.task.name == "a/one" else o  # noqa: E731
        return lambda todo, stop: map(dead, outcomes(todo, stop))

    assert run(outcomes=deadly) == 1
    assert "in/a/one.wav: 2 workers died on it (SIGKILL)" in capsys.readouterr().err
    assert entries()["a/one"]["status"] == "failed" and entries()["a/two"]["status"] == "done"
    assert run() == 1 and entries()["a/one"]["status"] == "done", "tried again the next time"


def test_two_hundred_with_twenty_broken(in_folder, capsys):
    """Without the tracker, which the other tests have."""
    Path("in").mkdir()
    for i in range(200):
        Path(f"in/{i:03}.wav").write_text("x")

    def quick(extraction):
        def done(recording):
            entry = {"path": recording.name, "status": "done"}
            return {**entry, "status": "failed", "error": "it is broken"} if int(recording.name) % 10 == 3 else entry

        return lambda todo, stop: (Outcome(recording, done(recording)) for recording in todo)

    assert run(outcomes=quick) == 1
    said = capsys.readouterr().err.splitlines()
    assert sum("it is broken" in line for line in said) == 20
    assert sum(entry["status"] == "done" for entry in entries().values()) == 180


def test_a_table_of_the_whole_corpus(corpus):
    pq = pytest.importorskip("pyarrow.parquet")
    assert run(formats=("parquet",)) == 1
    frames = pq.read_table("out/frames.parquet")
    assert frames["recording"].unique().to_pylist() == [name for name in corpus if name != "b/bad"]
    assert len(frames) == sum(len(pq.read_table(path)) for path in Path("out").rglob("?*.frames.parquet"))
    assert len(pq.read_table("out/notes.parquet")) > 5


# --- which recordings


def test_folders_patterns_lists_and_files(corpus):
    def names(paths, lists, patterns):
        return [r.name for r in find_recordings(paths, lists, patterns, Path("out"))]

    assert names(["in"], [], []) == corpus
    assert names(["in/b"], [], ["*.FLAC", "b*"]) == ["bad", "other"]
    assert names(["in/a/one.wav"], [], []) == ["one"]
    Path("list.txt").write_text("in/a/two.wav\n\n../in/x.wav\n")
    assert names([], ["list.txt"], []) == ["in/a/two", "in/x"], "nothing leads out of the folder"
    Path("list.txt").write_bytes(b"\xef\xbb\xbfin/a/two.wav\r\nin/x.wav\r\n")
    assert names([], ["list.txt"], []) == ["in/a/two", "in/x"], "as an editor on Windows writes it"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is shut to root")
def test_a_folder_that_is_shut_is_told(corpus, capsys):
    Path("in/shut").mkdir(mode=0)
    assert run() == 1 and "in/shut cannot be read (Permission denied)" in capsys.readouterr().err
    assert len(entries()) == len(corpus) + 1


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_among_the_recordings_keeps_nobody_waiting(corpus, capsys):
    os.mkfifo("in/a/pipe.wav")
    assert run() == 1 and "in/a/pipe.wav is a pipe; give a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["in", "--out", "in/results"], "--out in/results lies in in, which is read"),
        (["gone", "--out", "out"], "gone does not exist"),
        (["in", "--out", "in/notes.txt"], "--out in/notes.txt is no folder"),
        (["in", "--out", "out", "--match", "*.xyz"], "there is no recording in in"),
        (["in/a", "in/a/../a/one.wav", "--out", "out"], "would share the results one"),
        (["--out", "out"], "no recordings are named; give folders of them"),
        ([LONG, "--out", "out"], f"{LONG} cannot be read ("),
        (["in", "--out", LONG], f"{LONG} cannot be made ("),
        (["--list", "gone.txt", "--out", "out"], "the list gone.txt cannot be read"),
        (["in", "--out", "out", "--format", "jam"], "--format jam is no format; did you mean jams?"),
        (["in", "--out", "out", "--send"], "--send is for workers on other machines"),
        (["in", "--out", "out", "--jobs", "0"], "--jobs 0 cannot be used"),
        (["in"], "the following arguments are required: --out; rt-melody extract --help lists the options"),
        (["--list", "binary.txt", "--out", "out"], "the list binary.txt is no text"),
        (["in", "--out", "out", "--midi-out"], "there is no option --midi-out"),
        (["in", "--out", "out", "--model", "gone.pt"], "there is no model file gone.pt"),
        (["in", "--out", ""], "--out '' is no folder"),
        (["", "--out", "out"], "'' does not exist"),
        (["--list", "up.txt", "--out", "out"], "the list up.txt has ../.., which is no recording"),
        (["double", "--out", "out", "--format", "csv", "sv_csv"], "would share the result one.sv.csv"),
    ],
)
def test_what_cannot_be_asked_for(corpus, words, said, capsys):
    Path("binary.txt").write_bytes(b"\x00\xff\n")
    Path("up.txt").write_text("../..\n")
    Path("double").mkdir()
    for name in ("one", "one.sv"):
        shutil.copy("in/a/one.wav", f"double/{name}.wav")
    assert main(["extract", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not Path("out").exists()


def test_profiles_say_how_it_is_heard_and_played_and_options_win(corpus, monkeypatch):
    caught: list[Settings] = []
    monkeypatch.setattr(command, "by_processes", lambda extraction, jobs: caught.append(extraction.settings))
    monkeypatch.setattr(command, "extract", lambda *_: 0)
    assert main(["extract", "in", "--out", "out", "--profile", "bass", "lead", "--octave", "1"]) == 0
    played = caught[0].performance
    assert (played.mode, played.octave, played.scale, caught[0].tracking.latency_ms) == ("legato", 1, "chromatic", 20)


def test_two_runs_do_not_share_a_folder(corpus):
    Path("out").mkdir()
    with Manifest(Path("out"), {"version": "1"}), pytest.raises(OutputError, match="out is being written by another run; wait for its end"):
        run()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"settings": make_settings({"latency_ms": 20})}, r"of a run with tracking.latency_ms 50.0 \(now 20.0\)"),
        ({"formats": ("csv",)}, r"of a run with the formats csv midi \(now csv\)"),
    ],
)
def test_a_manifest_of_other_settings(corpus, change, said):
    run()
    with pytest.raises(RtMelodyError, match=said):
        run(**change)


@pytest.mark.parametrize("key, said", [("version", "the version 0.0.1"), ("model_sha256", "the model sha256 0.0.1")])
def test_a_manifest_of_another_version_or_model(corpus, key, said):
    run()
    path = Path("out/manifest.jsonl")
    head, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(head), key: "0.0.1"}) + "\n" + "".join(rest))
    with pytest.raises(RtMelodyError, match=said):
        run()


def test_a_full_disk_loses_nothing_that_is_done(corpus, monkeypatch):
    real, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("rt_melody.realtime.corpus.extraction.os.replace", full)
        with pytest.raises(OutputError, match=r"cannot be written in .*No space left on device.*give the same command again"):
            run()
    assert [e["path"] for e in map(json.loads, Path("out/manifest.jsonl").read_text().splitlines()[1:])] == ["a/one"]
    assert run() == 1 and len(results()) == 8


def test_a_disk_that_is_full_amid_a_file_is_told_of_the_results(corpus, monkeypatch):
    def full(sound, stem, names, style):
        raise OutputError(f"{stem}.csv cannot be written further") from OSError(28, "No space left on device")

    monkeypatch.setattr("rt_melody.realtime.corpus.extraction.write_formats", full)
    with pytest.raises(OutputError, match=r"results cannot be written in .*out/a \(No space left on device\); what is done stays done"):
        run()


def test_a_shipped_model_can_be_named(corpus):
    """As with --input; its settings are the same wherever it lies."""
    assert main(["extract", "in", "--out", "out", "--model", "nothing"]) == 2
    assert main(["extract", "in", "--out", "out", "--model", "light", "--jobs", "1"]) == 1, "one is no sound"
    first = json.loads(Path("out", "manifest.jsonl").read_text().splitlines()[0])
    assert first["model_sha256"] == sha256(SHIPPED_MODELS["light"]) and str(SHIPPED_MODELS["light"].parent) not in json.dumps(first)


def test_what_holds_for_every_recording_is_told_once_and_leaves_no_mark(corpus):
    with pytest.raises(RtMelodyError, match="a latency bound of 3 ms cannot be met"):
        run(settings=make_settings({"latency_ms": 3}))
    Path("none.pt").write_text("no model")
    with pytest.raises(RtMelodyError, match="none.pt is not a model file"):
        run(settings=make_settings({"model": "none.pt", "trust_model": True}))
    Path("out").mkdir()
    with Manifest(Path("out"), {"manifest": 1, "version": "another, which did nothing"}):
        pass
    assert run() == 1 and list(entries()) == corpus, "with nothing done there is nothing to keep"


def test_a_file_that_is_no_manifest_is_left_alone(corpus):
    Path("out").mkdir()
    for text in ("mine", '{"mine": 1}\n'):
        Path("out/manifest.jsonl").write_text(text)
        with pytest.raises(RtMelodyError, match="is no manifest of this program"):
            run()
        assert Path("out/manifest.jsonl").read_text() == text


def test_lines_of_a_manifest_that_are_damaged_count_as_none(corpus):
    run()
    whole, path = results(), Path("out/manifest.jsonl")
    lines = path.read_bytes().splitlines()
    lines[1:3] = [b"\0" * 20, b'{"path": ["a"]}', b"[1]", b'{"path": "x"}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert run() == 1 and results() == whole and list(entries()) == corpus


def test_results_of_one_sound_do_not_take_the_place_of_anothers(corpus):
    shutil.copytree("in", "copy")
    shutil.copytree("in", "other")
    soundfile.write("other/a/two.wav", demo_phrase(RATE).samples[RATE : 2 * RATE], RATE)
    run()
    whole = results()
    extraction = Extraction(Settings(), ("csv", "midi"), str(Path("out").absolute()))
    assert extract(extraction, find_recordings(["copy"], [], [], Path("out")), in_process(extraction), StopSignals()) == 1
    with pytest.raises(RtMelodyError, match=r"other/a/two.wav would take the place of the results of in/a/two.wav; rename one"):
        extract(extraction, find_recordings(["other"], [], [], Path("out")), in_process(extraction), StopSignals())
    assert results() == whole


# --- on a cluster


class Client:
    """Stands for Dask's, of one worker."""

    def __init__(self, answers) -> None:
        self.answers = answers

    def run(self, function, *arguments):
        return {"tcp://there:1": self.answers(function, *arguments)}


def test_a_worker_of_another_version():
    with pytest.raises(RtMelodyError, match="the worker tcp://there:1 runs rt-melody 0.0.1, and here is"):
        cluster._check_versions(Client(lambda function: "0.0.1"))


def test_a_path_that_a_worker_does_not_see(corpus):
    with pytest.raises(RtMelodyError, match=r"the worker tcp://there:1 does not see .*one.wav; mount it there .* --send"):
        cluster._check_paths(Client(lambda function, path: False), "in/a/one.wav", "out")


def test_a_cluster_that_is_gone_and_one_without_workers(corpus, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE_S", -1.0)
    client = SimpleNamespace(nthreads=dict, submit=lambda *args, **options: object(), cancel=lambda waiting: None, run=lambda *args: {})

    def gone(*args, **options):
        raise distributed.CancelledError("scheduler-connection-lost")

    extraction = Extraction(Settings(), ("csv",), str(Path("out").absolute()))
    recordings = find_recordings(["in"], [], [], Path("out"))
    with pytest.raises(RtMelodyError, match="the cluster is gone.*what is done stays done"):
        list(cluster._outcomes(SimpleNamespace(wait=gone), client, extraction, recordings, lambda: False, False))
    assert capsys.readouterr().err.count("the cluster has no workers any more") == 1


def test_workers_that_map_memory_anew_are_told_and_not_made_here(capsys, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # as distributed's nannies have it
    cluster._tell_of_mapping(Client(lambda function: function()))
    assert "1 of the workers map memory anew" in capsys.readouterr().err
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "268435456")
    cluster._tell_of_mapping(Client(lambda function: function()))
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_cluster_of_this_machine_loses_a_worker_and_nothing_else(corpus):
    distributed = pytest.importorskip("distributed")
    run("whole")
    extraction = Extraction(Settings(), ("csv", "midi"), str(Path("out").absolute()))
    with ExitStack() as stack:
        client = cluster._local(distributed, 1, stack)
        assert list(client.run(cluster._maps_anew).values()) == [False]

        def outcomes(todo, stop):
            killed = False
            for outcome in cluster._outcomes(distributed, client, extraction, todo, stop, False):
                yield outcome
                if not killed:
                    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
                    killed = True

        assert extract(extraction, find_recordings(["in"], [], [], Path("out")), outcomes, StopSignals()) == 1
    assert results("out") == results("whole") and list(entries("out")) == corpus


def test_no_scheduler_and_no_library(corpus, monkeypatch, capsys):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    assert main(["extract", "in", "--out", "out", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "there is no Dask scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["extract", "in", "--out", "out", "--scheduler"]) == 2
    told = capsys.readouterr().err
    assert "--scheduler needs the Python package distributed" in told and "-m pip install distributed`" in told


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_by_path_and_by_bytes(corpus):
    distributed = pytest.importorskip("distributed")
    run("whole")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as made:
        for send, out in ((False, "seen"), (True, "sent")):
            extraction = Extraction(Settings(), ("csv", "midi"), str(Path(out).absolute()))
            with cluster.on_cluster(extraction, made.scheduler_address, 2, send) as outcomes:
                assert extract(extraction, find_recordings(["in"], [], [], Path(out)), outcomes, StopSignals()) == 1
            assert results(out) == results("whole") and list(entries(out)) == corpus
            assert entries(out)["b/bad"]["status"] == "failed"


def test_a_bag_of_paths(corpus):
    bag = pytest.importorskip("dask.bag").from_sequence(["in/a/two.wav", "in/b/other.flac"])
    one, two = track_bag(bag, latency_ms=30).compute(scheduler="sync")
    alone = track("in/a/two.wav", latency_ms=30)
    assert one.f0_hz.tolist() == alone.f0_hz.tolist() and one.events == alone.events and two.name == "in/b/other.flac"
