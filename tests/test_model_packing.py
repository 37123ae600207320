"""Model files in fewer bytes: what is stored in halves, that all comes back to the bit, and what is refused."""

import io
import zipfile

import pytest
import torch
from torch import Tensor, nn

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.packing import packed, unpacked
from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.models.torchscript import ModelFileError, archive_of, compile_step, load_model, quietly, save_model, sealed


class Holding(nn.Module):
    """Constants of each kind that a program has."""

    def __init__(self):
        super().__init__()
        make = torch.Generator().manual_seed(1)
        self.register_buffer("large", torch.randn(64, 32, generator=make).half().float())
        self.register_buffer("finer", torch.randn(64, 32, generator=make))
        self.register_buffer("indices", torch.arange(2048))
        self.register_buffer("small", torch.zeros(100))
        self.register_buffer("tiny", torch.full((2048,), 1e-10))
        self.register_buffer("beyond", torch.linspace(-1e6, 1e6, 2048))

    def forward(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.large, self.finer, self.indices, self.small, self.tiny, self.beyond


@pytest.fixture(scope="module")
def archive() -> bytes:
    frozen = quietly(torch.jit.freeze, quietly(torch.jit.script, Holding().eval()))
    return archive_of(frozen, {"format": 5})


def names(archive: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return set(read.namelist())


def test_floats_that_halves_hold_are_stored_in_halves_and_all_comes_back_to_the_bit(archive):
    stored = packed(archive)
    (half,) = (name for name in names(stored) if name.endswith(".half"))
    with zipfile.ZipFile(io.BytesIO(stored)) as members:
        assert members.getinfo(half).file_size == 64 * 32 * 2
    lost = names(archive) - names(unpacked(stored))
    assert lost and all(name.endswith(".debug_pkl") for name in lost)
    for got, was in zip(quietly(torch.jit.load, io.BytesIO(unpacked(stored)))(), Holding().buffers()):
        assert torch.equal(got, was)


def test_what_was_unpacked_and_packed_again_is_the_same(archive):
    assert packed(unpacked(packed(archive))) == packed(archive)


def test_what_is_still_packed_is_refused_by_torchscript_rather_than_misread(archive):
    with pytest.raises(RuntimeError, match="constants/.*not found|file not found"):
        quietly(torch.jit.load, io.BytesIO(packed(archive)))


def test_a_half_that_is_no_row_of_numbers_is_one_sentence(tmp_path):
    save_model(tmp_path / "good.pt", TwoStageNet(ModelConfig()).half().float().eval(), {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(buffer, "w") as bad:
        half = next(name for name in good.namelist() if name.endswith(".half"))
        for name in good.namelist():
            bad.writestr(name, b"odd" if name == half else good.read(name))
    (tmp_path / "bad.pt").write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(ModelFileError, match="is not a model file of rt-melody"):
        load_model(tmp_path / "bad.pt", trust_model=True)


@pytest.mark.parametrize("path", SHIPPED_MODELS.values(), ids=SHIPPED_MODELS)
def test_a_shipped_model_is_what_its_halves_to_begin_from_make(path):
    """The folded weights differ by the rounding of another machine's arithmetic at most; what is not folded not at all."""
    stored = torch.load(path.with_name(f"{path.stem}-trainable.pt"), weights_only=True)
    net = TwoStageNet(ModelConfig.from_dict(stored["model"]))
    net.load_state_dict(stored["average"])
    shipped, config, _ = load_model(path)
    assert config == net.config
    windows = torch.randn(30, config.long_taps, generator=torch.Generator().manual_seed(4)) * 0.1
    told = [model.block(windows, model.block_beginning(torch.zeros(1)), 6)[:2] for model in (shipped, compile_step(net))]
    for ours, made in zip(*told):
        assert (ours - made).abs().max() < 1e-4
