"""The poster's figures: responses worked by hand, kernels as a run begins, four pictures, words for bad input."""

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("matplotlib", reason="the figures need matplotlib")

from rt_melody.benchmarks import paper_figures
from rt_melody.models.config import ModelConfig
from rt_melody.models.training import tiny, train
from rt_melody.models.training.data import Clip, DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder, a run of three steps of a small paper model and one of the small live model."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("figures")
    tiny.make_data(folder / "data", clips=1, seconds=5.2)
    shape = ModelConfig.from_dict({
        **train.read_shape("paper").to_dict(), "long_filters": 12, "short_filters": 12, "positions": 40, "channels": 4,
        "branch_channels": 2, "dilations": [1],
    })
    (folder / "shape.yaml").write_text(yaml.safe_dump(shape.to_dict()), encoding="utf-8")
    for name, model in (("paper", [f"model={folder / 'shape.yaml'}"]), ("live", [])):
        config = tiny.write_configs(folder, steps=1)
        train.main(["--config", str(config), "--data", str(folder / "data"), "--out", str(folder / name), "--set", *model])
    return folder


def test_a_response_is_relative_to_its_peak():
    """A kernel of one cosine peaks at its frequency; a moving mean of two falls to nothing at half the rate."""
    n = np.arange(960)
    kernels = np.stack([np.cos(2 * np.pi * 500 / 16000 * n) * np.hanning(960), np.r_[1.0, 1.0, np.zeros(958)]])
    told = paper_figures.responses_db(kernels)
    assert told.max(1) == pytest.approx(0.0, abs=1e-4) and told[0].argmax() == 500 / 16000 * 4096
    assert told[1, 0] == pytest.approx(0.0, abs=1e-4) and told[1, -1] < -80
    assert told[1, 1024] == pytest.approx(20 * np.log10(np.sqrt(0.5)), abs=0.01)


@pytest.mark.slow
def test_kernels_begin_as_the_run_of_that_seed_began(made):
    """A run with a learning rate too small to move them keeps the kernels that its seed drew."""
    still = made / "still"
    config = tiny.write_configs(made, steps=1, learning_rate=1e-30)
    train.main(["--config", str(config), "--data", str(made / "data"), "--out", str(still), "--set", f"model={made / 'shape.yaml'}"])
    stored, net = paper_figures.load_paper(still / "last.pt")
    np.testing.assert_allclose(paper_figures.first_kernels(stored, "short_bank"), net.stage1.short_bank.weight.detach(), atol=1e-7)


@pytest.mark.slow
def test_four_pictures_are_drawn(made, tmp_path):
    run = str(made / "paper" / "last.pt")
    paper_figures.main(["--with", run, "--without", run, "--data", str(made / "data"), "--out", str(tmp_path)])
    names = {p.name for p in tmp_path.glob("*.png")}
    assert names == {f"paper-{n}.png" for n in ("short-kernels", "long-kernels", "graph", "melody")}


@pytest.mark.slow
def test_weights_of_another_family_and_a_missing_clip_are_refused(made, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        paper_figures.main(
            [
                "--with",
                str(made / "live" / "last.pt"),
                "--without",
                str(made / "live" / "last.pt"),
                "--data",
                str(made / "data"),
                "--out",
                str(tmp_path),
            ]
        )
    assert left.value.code == 2 and "family 'live'" in capsys.readouterr().err
    with pytest.raises(DataError, match="no test clip nobody"):
        paper_figures.chosen_clip([Clip("a_1", "a", np.zeros(9, np.float32), None, np.zeros(1, np.float32))], "nobody")
