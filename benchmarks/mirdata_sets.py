"""Accuracy on any data set that mirdata knows, by its name, where it lies on this disk.

    python -m rt_melody.benchmarks.mirdata_sets vocadito --home FOLDER [--tracks N] [--latency-ms MS] [--channel N]

mirdata (extra ``datasets``) finds sounds and labels by an index, which it fetches once: ``mirdata.initialize(NAME,
data_home=FOLDER).download(["index"])``. Labels are those of the first attribute in LABELS that a track has; they are scored as
mir_eval scores them, with the tracker's guess where it hears nobody. Every recording is a stream of its own, the mean of its
channels but where ``--channel`` takes one (iKala has the voice in 2). Tracks that are not on this disk are counted and left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rt_melody.benchmarks.report import markdown
from rt_melody.models.training.data import DataError, refuse
from rt_melody.realtime import Melody, Settings, make_settings, track
from rt_melody.realtime.errors import InputError, RtMelodyError
from rt_melody.realtime.settings.base import did_you_mean

LABELS = ("f0_corrected", "f0", "f0_manual_lrx", "melody", "melody1", "melody2", "pitch_vocal", "pitch")  # by hand before by machine
SOUNDS = ("audio_path", "audio_lrx_path", "audio_path_mono", "audio_mix_path", "mix_path")
FIGURES = {
    "OA": "Overall Accuracy", "RPA": "Raw Pitch Accuracy", "RCA": "Raw Chroma Accuracy", "VR": "Voicing Recall",
    "VFA": "Voicing False Alarm",
}  # fmt: skip


def open_set(name: str, home: str | None) -> Any:
    """mirdata's data set of that name. Raises DataError where it has none, or the library is not there."""
    try:
        import mirdata  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise DataError("data sets by name need mirdata: pip install 'rt-melody[datasets]'") from error
    names = mirdata.list_datasets()
    if name not in names:
        raise DataError(f"mirdata has no data set {name}; {did_you_mean(name, names)}")
    return mirdata.initialize(name, data_home=home)


def labelled(dataset: Any, most: int | None = None) -> Iterator[tuple[str, str, Any]]:
    """Name, path of the sound and ``F0Data`` of each track that has both, ``most`` of them. Raises DataError where none has."""
    try:
        names = dataset.track_ids
    except FileNotFoundError as error:
        way_out = f"mirdata.initialize({dataset.name!r}).download(['index'])"
        raise DataError(f"mirdata has no index of {dataset.name} yet; run {way_out}") from error
    found = 0
    for name in names:
        item = dataset.track(name)
        sound, labels = _first(item, SOUNDS, os.path.isfile), _first(item, LABELS, lambda told: hasattr(told, "to_mir_eval"))
        if sound is None or labels is None:
            continue
        found += 1
        yield name, sound, labels
        if found == most:
            return
    if not found:
        raise DataError(f"{dataset.name} has no track with a sound and an f0 here; see mirdata.initialize({dataset.name!r}).validate()")
    if found < len(names):
        print(f"{len(names) - found} of {len(names)} tracks have no sound or no f0 here", file=sys.stderr)


def _first(item: Any, names: Sequence[str], fits: Callable[[Any], bool]) -> Any:
    for name in names:
        try:
            if (value := getattr(item, name, None)) is not None and fits(value):
                return value
        except FileNotFoundError:
            continue
    return None


def score(labels: Any, melody: Melody) -> list[float]:
    """FIGURES in percent, as mir_eval has them."""
    import mir_eval

    times_s, f0_hz, voicing = labels.to_mir_eval()
    reference = np.where(np.asarray(voicing) > 0, f0_hz, 0.0)
    scores = mir_eval.melody.evaluate(np.asarray(times_s), reference, *melody.to_mir_eval())
    return [100.0 * scores[key] for key in FIGURES.values()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="name, as mirdata.list_datasets() has it")
    parser.add_argument("--home", help="the folder it lies in; default: mirdata's")
    parser.add_argument("--tracks", type=int, help="the first so many that are there")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="bound; default: 50")
    parser.add_argument("--channel", type=int, help="of each sound, from 1; default: the mean of all")
    args = parser.parse_args(arguments)
    try:
        found = labelled(open_set(args.dataset, args.home), args.tracks)
        rows = list(_rows(found, make_settings({"latency_ms": args.latency_ms, "channel": args.channel})))
    except (DataError, RtMelodyError) as error:
        refuse(str(error))
    if not rows:
        refuse(f"{args.dataset} has no sound here that can be read")
    mean = np.mean([row[1:] for row in rows], axis=0)
    table = [[row[0], *(f"{value:.1f}" for value in row[1:])] for row in [*rows, ["mean", *mean]]]
    print(markdown(["track", *FIGURES], table))


def _rows(found: Iterator[tuple[str, str, Any]], settings: Settings) -> Iterator[list[Any]]:
    """Name and FIGURES of each; what is wrong with a sound is said."""
    for name, sound, labels in found:
        try:
            yield [name, *score(labels, track(sound, settings=settings))]
        except InputError as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
