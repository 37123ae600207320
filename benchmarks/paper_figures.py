"""The poster's four figures, drawn from trained weights (extra ``[plot]``).

``python -m rt_melody.benchmarks.paper_figures --with A.pt --without B.pt --out benchmarks/results`` takes checkpoints of
the ``paper`` model trained with and without pre-training of its first stage, and one test clip:

1. ``paper-short-kernels.png``: magnitude responses of the 64-tap kernels as they begin and after training;
2. ``paper-long-kernels.png``: those of the 960-tap kernels after training, sorted by peak frequency;
3. ``paper-graph.png``: the learned spectrogram-like graph with and without pre-training, kernels in their own order;
4. ``paper-melody.png``: predicted against true pitch over time.

As kernels begin: noise from the training's seed, as a run without pre-training begins; sorted, as after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from rt_melody.benchmarks.accuracy import labels_hz
from rt_melody.models.build import build_network
from rt_melody.models.config import ModelConfig
from rt_melody.models.paper import PaperNet, peak_order
from rt_melody.models.training.data import SAMPLE_RATE, Clip, DataError, data_folder, load_mir1k, refuse
from rt_melody.models.training.evaluate import load_tracker
from rt_melody.models.training.train import load_checkpoint

DPI = 130
RESPONSE_POINTS = 4096
RANGE_DB = 40.0  # under each kernel's peak
TOP_HZ = {64: SAMPLE_RATE / 2, 960: 2000.0}  # of the pictures of responses, by taps
SHOWN_S = 5.0


def responses_db(kernels: np.ndarray) -> np.ndarray:
    """Magnitude responses re each kernel's peak, dB ``[shape=(n, RESPONSE_POINTS // 2 + 1)]``."""
    magnitude = np.abs(np.fft.rfft(kernels, RESPONSE_POINTS, axis=1))
    return 20.0 * np.log10(magnitude / magnitude.max(1, keepdims=True) + 1e-6)


def in_order(kernels: np.ndarray) -> np.ndarray:
    return kernels[peak_order(kernels)]


def first_kernels(stored: dict, bank: str) -> np.ndarray:
    """The kernels that a run of this seed begins with, without pre-training."""
    torch.manual_seed(stored["training"]["seed"])
    return getattr(build_network(ModelConfig.from_dict(stored["model"])).stage1, bank).weight.detach().numpy()


def draw_responses(axes: Axes, kernels: np.ndarray, title: str) -> AxesImage:
    """Kernels along x, frequency along y."""
    top_hz = TOP_HZ.get(kernels.shape[1], SAMPLE_RATE / 2)
    shown = responses_db(kernels)[:, : round(top_hz / SAMPLE_RATE * RESPONSE_POINTS) + 1]
    axes.set(title=title, xlabel="kernel")
    return axes.imshow(
        shown.T,
        origin="lower",
        aspect="auto",
        vmin=-RANGE_DB,
        vmax=0.0,
        extent=(0, len(kernels), 0, top_hz / 1000.0),
        interpolation="nearest",
    )


def panels(count: int, size: tuple[float, float], sharey: bool = False) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=size, dpi=DPI, layout="constrained", squeeze=False, sharey=sharey)
    return figure, axes[0]


def finish(figure: Figure, path: Path) -> None:
    figure.savefig(path)
    plt.close(figure)


def kernel_figure(pictures: dict[str, np.ndarray], path: Path) -> None:
    """Banks of kernels beside each other, each ``[shape=(n, taps)]`` under its title."""
    figure, axes = panels(len(pictures), (3.6 * len(pictures) + 0.6, 3.4), sharey=True)
    images = [draw_responses(place, kernels, title) for place, (title, kernels) in zip(axes, pictures.items())]
    axes[0].set_ylabel("frequency (kHz)")
    figure.colorbar(images[-1], ax=axes, label="response (dB re the kernel's peak)")
    finish(figure, path)


def graph(net: PaperNet, sound: np.ndarray) -> np.ndarray:
    """The long bank's spectrogram-like graph of a sound ``[shape=(frames, filters)]``."""
    with torch.no_grad():
        return net.eval().stage1(torch.from_numpy(sound)[None])[0, 0].numpy()


def graph_figure(graphs: dict[str, np.ndarray], hop_s: float, path: Path) -> None:
    figure, axes = panels(len(graphs), (4.2 * len(graphs), 3.4), sharey=True)
    for place, (title, shown) in zip(axes, graphs.items()):
        low, high = np.percentile(shown, (5, 99.5))
        place.imshow(
            shown.T,
            origin="lower",
            aspect="auto",
            vmin=low,
            vmax=high,
            extent=(0, len(shown) * hop_s, 0, shown.shape[1]),
            interpolation="nearest",
        )
        place.set(title=title, xlabel="time (s)")
    axes[0].set_ylabel("960-tap kernel, in the network's order")
    finish(figure, path)


def melody_figure(truth: tuple[np.ndarray, np.ndarray], told: tuple[np.ndarray, np.ndarray, np.ndarray], title: str, path: Path) -> None:
    """True pitch (times, Hz with 0 unvoiced) as a line under the told one (times, Hz, voiced) as points."""
    figure, (axes,) = panels(1, (7.2, 3.2))
    times, hz = truth
    axes.plot(times, _midi(hz, hz > 0), color="black", linewidth=2.5, alpha=0.45, label="true")
    axes.plot(told[0], _midi(told[1], told[2]), ".", color="tab:red", markersize=3, label="predicted")
    axes.set(xlabel="time (s)", ylabel="MIDI note", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    finish(figure, path)


def _midi(hz: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Fractional MIDI notes, not a number where not kept."""
    return np.where(keep, 69.0 + 12.0 * np.log2(np.maximum(hz, 1.0) / 440.0), np.nan)


def load_paper(path: Path) -> tuple[dict, PaperNet]:
    """A checkpoint of the ``paper`` model, and its averaged network. Raises DataError."""
    stored = load_checkpoint(path)
    if stored["model"]["family"] != "paper":
        raise DataError(f"{path} is of the family {stored['model']['family']!r}; the figures are of the 'paper' model's weights")
    return stored, cast(PaperNet, load_tracker(path, ()).net)


def chosen_clip(clips: list[Clip], name: str | None) -> Clip:
    """The clip of that name, else the first of at least SHOWN_S. Raises DataError."""
    found = [c for c in clips if (c.name == name if name else len(c.voice) >= SHOWN_S * SAMPLE_RATE)]
    if not found:
        raise DataError(f"there is no test clip {name or f'of {SHOWN_S:g} s'}; there are {', '.join(c.name for c in clips[:5])} ...")
    return found[0]


def draw(with_path: Path, without_path: Path, clip: Clip, labels: tuple[np.ndarray, np.ndarray], threshold: float, out: Path) -> None:
    """All four. Raises DataError."""
    (stored, trained), (_, without) = load_paper(with_path), load_paper(without_path)
    kernels = {name: getattr(trained.stage1, name).weight.detach().numpy() for name in ("short_bank", "long_bank")}
    taps = {name: k.shape[1] for name, k in kernels.items()}
    begin = in_order(first_kernels(stored, "short_bank"))
    kernel_figure(
        {f"{taps['short_bank']} taps, before": begin, f"{taps['short_bank']} taps, after": in_order(kernels["short_bank"])},
        out / "paper-short-kernels.png",
    )
    kernel_figure({f"{taps['long_bank']} taps, after": in_order(kernels["long_bank"])}, out / "paper-long-kernels.png")

    hop = trained.config.hop_samples
    piece = clip.mixture[: round(SHOWN_S * SAMPLE_RATE) // hop * hop]
    graphs = {"with pre-training": graph(trained, piece), "without": graph(without, piece)}
    graph_figure(graphs, hop / SAMPLE_RATE, out / "paper-graph.png")
    told = load_tracker(with_path, ()).track(clip.mixture, threshold)
    melody_figure(labels, told, f"{clip.name}, mixture as recorded, step {stored['step']}", out / "paper-melody.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The poster's four figures from trained weights.")
    parser.add_argument(
        "--with", dest="trained", type=Path, required=True, metavar="CHECKPOINT", help="of the paper model with pre-training"
    )
    parser.add_argument("--without", type=Path, required=True, metavar="CHECKPOINT", help="of the same without")
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--clip", help="name of a test clip; default: the first that is long enough")
    parser.add_argument("--threshold", type=float, default=0.5, help="voicing probability from which a frame is drawn")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    args = parser.parse_args(arguments)
    if not args.out.is_dir() or not 0.0 < args.threshold < 1.0:
        refuse(f"--out {args.out} must be a folder that exists, --threshold {args.threshold:g} between 0 and 1")
    try:
        folder = data_folder(args.data)
        clip = chosen_clip(load_mir1k(folder, "test"), args.clip)
        draw(args.trained, args.without, clip, labels_hz(folder, "test", clip), args.threshold, args.out)
    except DataError as error:
        refuse(str(error))
    print(f"drawn into {args.out}: paper-short-kernels, paper-long-kernels, paper-graph, paper-melody")


if __name__ == "__main__":
    main()
