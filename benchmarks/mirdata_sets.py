"""Accuracy on any data set that mirdata knows, by its name, where it lies on this disk.

    python -m rt_melody.benchmarks.mirdata_sets vocadito --home FOLDER [--tracks N]

mirdata (extra ``datasets``) finds sounds and labels by an index, which it fetches once: ``mirdata.initialize(NAME,
data_home=FOLDER).download(["index"])``. Labels are those of the first attribute in LABELS that a track has; they are scored as
mir_eval scores them, with the tracker's guess where it hears nobody. Every recording is a stream of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rt_melody.benchmarks.report import markdown
from rt_melody.models.training.data import DataError, refuse
from rt_melody.realtime import Melody, track
from rt_melody.realtime.errors import RtMelodyError

LABELS = ("f0", "melody", "melody1", "melody2", "vocal_pitch", "pitch", "f0_data", "pitch_contour")
SOUNDS = ("audio_path", "vocal_audio_path", "mix_path", "audio_mix_path")
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
        raise DataError(f"mirdata has no data set {name}; it has {', '.join(names)}")
    return mirdata.initialize(name, data_home=home)


def labelled(dataset: Any, most: int | None = None) -> Iterator[tuple[str, str, Any]]:
    """Name, path of the sound and ``F0Data`` of each track that has both. Raises DataError where none has."""
    try:
        names = dataset.track_ids
    except FileNotFoundError as error:
        way_out = f"mirdata.initialize({dataset.name!r}).download(['index'])"
        raise DataError(f"mirdata has no index of {dataset.name} yet; run {way_out}") from error
    found = False
    for name in names[:most]:
        item = dataset.track(name)
        sound, labels = _first(item, SOUNDS), _first(item, LABELS)
        if sound is not None and labels is not None:
            found = True
            yield name, sound, labels
    if not found:
        raise DataError(f"{dataset.name} has no track with a sound and an f0 here; see mirdata.initialize({dataset.name!r}).validate()")


def _first(item: Any, names: Sequence[str]) -> Any:
    for name in names:
        try:
            if (value := getattr(item, name, None)) is not None:
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
    parser.add_argument("--tracks", type=int, help="the first so many")
    args = parser.parse_args(arguments)
    try:
        rows = [[name, *score(labels, track(sound))] for name, sound, labels in labelled(open_set(args.dataset, args.home), args.tracks)]
    except (DataError, RtMelodyError) as error:
        refuse(str(error))
    mean = np.mean([row[1:] for row in rows], axis=0)
    table = [[row[0], *(f"{value:.1f}" for value in row[1:])] for row in [*rows, ["mean", *mean]]]
    print(markdown(["track", *FIGURES], table))


if __name__ == "__main__":
    main()
