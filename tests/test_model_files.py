"""A model file is known before anything of it runs; a flipped bit, a foreign archive, a hostile one: one sentence."""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
import zipfile

import numpy as np
import pytest
import torch

from rt_melody.models import torchscript
from rt_melody.models.config import ModelConfig
from rt_melody.models.shipped import SHIPPED, SHIPPED_MODELS
from rt_melody.models.streaming import StreamingModel, hop_computing
from rt_melody.models.torchscript import FORMAT, META, ModelFileError, load_model, optimise, optimises, quietly, sealed, store_module
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.melody import MelodyTracker

RAN = []


class Hostile(torch.nn.Module):
    """An archive whose code runs as it is loaded: it prints, where a real one would do worse."""

    @torch.jit.export
    def __getstate__(self):
        return (0, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]):
        print("code of the archive ran")
        self.training = state[1]

    @torch.jit.export
    def begin(self, x: torch.Tensor) -> None:
        pass

    def forward(self, window: torch.Tensor, head: int):
        return window, window[0]


def shipped_meta() -> dict:
    with zipfile.ZipFile(SHIPPED) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(META)]
        return json.loads(archive.read(name))


@pytest.fixture
def foreign(monkeypatch):
    """No file counts as written by this process."""
    monkeypatch.setattr(torchscript, "_written", set())


@pytest.fixture
def own(tmp_path):
    """The shipped network as somebody would export it."""
    path = tmp_path / "own.pt"
    store_module(path, load_model(SHIPPED)[0], shipped_meta())
    return path


def hostile_file(path, **changes) -> None:
    store_module(path, quietly(torch.jit.script, Hostile()), {**shipped_meta(), **changes})


def with_meta(path, text: str):
    """The file with other words about it, sealed anew."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, text if item.filename.endswith(META) else old.read(item))
    path.write_bytes(sealed(out.getvalue()))
    return path


def test_what_runs_as_it_is_loaded_does_not_run_unasked(tmp_path, foreign, capfd):
    path = tmp_path / "hostile.pt"
    hostile_file(path)
    torchscript._written.clear()
    for asked in ({}, {"trust_model": False}):
        with pytest.raises(ModelFileError, match="can run any program as it is loaded; .* add --trust-model"):
            load_model(path, **asked)
    hostile_file(path, format=99)
    with pytest.raises(ModelFileError, match="is of format 99"):
        load_model(path, trust_model=True)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError):
        load_model(path, trust_model=True)
    assert "code of the archive ran" not in capfd.readouterr().out
    hostile_file(path)
    with pytest.raises(ModelFileError, match="is not a model file"):  # trusted it runs, and is found to be no model
        load_model(path, trust_model=True)
    assert "code of the archive ran" in capfd.readouterr().out, "else the test proves nothing"


def test_the_shipped_model_needs_no_trust_and_neither_does_a_copy_of_it(tmp_path, foreign):
    copy = tmp_path / "copy.pt"
    shutil.copyfile(SHIPPED, copy)
    assert load_model(copy)[1] == load_model(SHIPPED)[1]


def test_one_of_this_process_is_trusted_and_then_no_more(own, foreign):
    with pytest.raises(ModelFileError, match="own.pt is not the model that is shipped"):
        load_model(own)
    assert isinstance(load_model(own, trust_model=True)[1], ModelConfig)
    torchscript._written.add(torchscript.hashlib.sha256(own.read_bytes()).hexdigest())
    load_model(own)


def test_who_measures_a_model_vouches_for_it(own, foreign, monkeypatch):
    """A benchmark has no --trust-model that its sentence could name."""
    pytest.importorskip("soxr")
    band = pytest.importorskip("rt_melody.benchmarks.band")
    monkeypatch.setattr(band, "ENGINES", [])
    band.prepare(str(own))
    assert [engine.model.path for engine in band.ENGINES] == [own, own]


def test_an_empty_name_is_no_model():
    """Such as that of a shell's variable which is not set: it is not the shipped one."""
    for make in (StreamingModel, lambda name: MelodyTracker.from_settings(model=name)):
        with pytest.raises((ModelFileError, InputError), match="there is no model file"):
            make("")


def test_a_damaged_shipped_model_is_told_apart_from_a_foreign_one(tmp_path, monkeypatch):
    damaged = tmp_path / "live.pt"
    shutil.copyfile(SHIPPED.with_suffix(".yaml"), damaged.with_suffix(".yaml"))
    damaged.write_bytes(SHIPPED.read_bytes()[:-500])
    monkeypatch.setitem(SHIPPED_MODELS, "live", damaged)
    with pytest.raises(ModelFileError, match="live.pt is damaged: its checksum .* install rt-melody again"):
        load_model(damaged)


def test_no_flipped_bit_is_accepted(own):
    data, rng = own.read_bytes(), random.Random(1)
    places = [rng.randrange(len(data)) for _ in range(60)] + list(range(len(data) - 95, len(data), 2))
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        own.write_bytes(flipped)
        with pytest.raises(ModelFileError, match="is damaged|is not a model file"):
            load_model(own, trust_model=True)


def test_a_file_of_before_the_seal_is_read_and_its_contents_are_checked(tmp_path):
    path, data = tmp_path / "old.pt", SHIPPED.read_bytes()
    assert not zipfile.ZipFile(SHIPPED).comment or pytest.skip("the shipped file is sealed")
    at = zipfile.ZipFile(SHIPPED).infolist()[1].header_offset + 2000
    path.write_bytes(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :])
    with pytest.raises(ModelFileError, match="is damaged .at "):
        load_model(path, trust_model=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"look_ahead_ms": 5},
        {"look_ahead_ms": []},
        {"look_ahead_ms": [9, 4]},
        {"look_ahead_ms": ["a"]},
        {"hop_samples": 0},
        {"hop_samples": -160},
        {"hop_samples": "160"},
        {"hop_samples": 1e300},
        {"positions": 10**9},
        {"f_min_hz": float("nan")},
        {"f_min_hz": float("inf")},
        {"long_taps": 2**40},
        {"sample_rate": None},
        {"name": 3},
        {"unheard_of": 1},
        {"positions": 41},
        {"long_taps": 900},
        {"harmonics": [[1.0]]},
        {"look_ahead_ms": list(range(500))},
    ],
)
def test_a_configuration_that_no_network_has_is_a_sentence(own, changes):
    meta = shipped_meta()
    with_meta(own, json.dumps({**meta, "model": {**meta["model"], **changes}}))
    with pytest.raises(ModelFileError, match="own.pt is not a model file of rt-melody .*; use one that"):
        load_model(own, trust_model=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"format": 4}',
        '{"format": 4, "model": [], "provenance": {}}',
        "[" * 100_000,
        '{"format": "' + "9" * 200 + '"}',
    ],
)
def test_words_about_it_that_are_none_are_a_sentence(own, text):
    with_meta(own, text)
    with pytest.raises(ModelFileError, match="own.pt is not a model file|is of format 9{1,40},"):
        load_model(own, trust_model=True)


def test_an_archive_that_unpacks_to_more_than_there_is_is_refused_before_it_does(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"m/extra/{META}", bytes(2 * torchscript.MAX_META_BYTES))
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path, trust_model=True)


def test_pickles_and_other_archives_are_no_models(tmp_path, capfd):
    class Runs:
        def __reduce__(self):
            return print, ("a pickle ran",)

    path = tmp_path / "pickle.pt"
    for content in ({"weights": torch.zeros(3)}, Runs()):
        torch.save(content, path)
        with pytest.raises(ModelFileError, match="pickle.pt is not a model file"):
            load_model(path, trust_model=True)
    assert "a pickle ran" not in capfd.readouterr().out


def test_a_folder_and_a_file_that_may_not_be_read_are_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match="there is no model file"):
        load_model(tmp_path)
    (tmp_path / "m.pt").touch()
    monkeypatch.setattr(torchscript.Path, "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ModelFileError, match=r"m.pt cannot be read \(Permission denied\)"):
        load_model(tmp_path / "m.pt")


# ---- what torch is set to --------------------------------------------------------------------------


@pytest.fixture
def as_a_library_finds_it():
    """Two threads, denormals kept: as a program that uses torch has it; set back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    yield
    torch.set_num_threads(threads)


def setting() -> tuple[int, bool, bool]:
    """Threads, whether denormals are kept, whether programs are optimised as they run."""
    return torch.get_num_threads(), (torch.tensor([1e-39]) * 0.5).item() > 0, optimises()


@pytest.mark.usefixtures("as_a_library_finds_it")
def test_torch_is_left_as_it_was_found():
    model = StreamingModel()
    assert setting() == (2, True, True)
    model.warm_up()
    model.step()
    model.for_another_stream().step()
    assert setting() == (2, True, True)


@pytest.mark.usefixtures("as_a_library_finds_it")
def test_within_a_hop_there_is_one_thread_and_no_denormals():
    with hop_computing():
        assert setting() == (1, False, False) and np.float32(1e-39) * np.float32(0.5) == 0 and sys.float_info.min * 0.5 == 0
        with hop_computing():
            assert setting() == (1, False, False)
        assert setting() == (1, False, False)
    assert setting() == (2, True, True)
    with pytest.raises(KeyError), hop_computing():
        raise KeyError
    assert setting() == (2, True, True)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    optimise(False)
    with hop_computing():
        pass
    assert setting() == (1, False, False)
    torch.set_flush_denormal(False)
    optimise(True)


def test_the_format_is_that_of_the_shipped_file():
    assert shipped_meta()["format"] == FORMAT
