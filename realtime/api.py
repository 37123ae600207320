"""The program as functions: what the command line does, for Python."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import numpy as np

from rt_melody.realtime.formats.jams_file import to_jams
from rt_melody.realtime.formats.table import Style, check_formats, write_formats
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.settings import Settings, make_settings
from rt_melody.realtime.sources import FileSource
from rt_melody.realtime.sources.blocks import check_sample_rate, mix_down
from rt_melody.realtime.sources.mixing import FULL_SCALES
from rt_melody.realtime.types import NoteOn, note_name

AT_ONCE_S = 10.0  # of a file, so that an hour of it is not held in memory


class Row(NamedTuple):
    """One frame."""

    time_s: float
    f0_hz: float
    voiced: bool
    confidence: float
    available_s: float


class Melody(TrackedSound):
    """A tracked recording: arrays of frames (``time_s``, ``f0_hz``, ``voiced``, ``confidence``, ``available_s``) and ``notes``, a
    table of onset_s, offset_s, note, pitch and velocity; ``events`` as they were sent.

    It is a sequence of its frames: ``pandas.DataFrame(melody)`` is their table, ``numpy.asarray(melody)`` their values.
    """

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"<Melody {name}{self.duration_s:.2f} s, {len(self.time_s)} frames, {int(self.voiced.sum())} voiced, {self._range()}>"

    def _range(self) -> str:
        numbers: list[int] = [event.note for event in self.events if isinstance(event, NoteOn)]
        if not numbers:
            return "no notes"
        return f"{len(numbers)} note{'s' * (len(numbers) > 1)} from {note_name(min(numbers))} to {note_name(max(numbers))}"

    def __iter__(self) -> Iterator[Row]:
        """The frames."""
        return map(Row._make, self.frames.tolist())

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        """A frame, or some."""
        if isinstance(index, slice):
            return list(map(Row._make, self.frames[index].tolist()))
        return Row._make(self.frames[operator.index(index)].item())

    def __len__(self) -> int:
        """Frames."""
        return len(self.time_s)

    def to_dataframe(self, what: str = "frames") -> Any:
        """A ``pandas.DataFrame`` of the ``"frames"`` or the ``"notes"``. Raises ImportError without pandas."""
        if what not in ("frames", "notes"):
            raise ValueError(f"there is no table {what!r}; choose from 'frames' and 'notes'")
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.DataFrame(getattr(self, what))

    def to_mir_eval(self) -> tuple[np.ndarray, np.ndarray]:
        """Times in s and f0 in Hz, negative where unvoiced: what ``mir_eval.melody.evaluate`` takes as estimate."""
        return self.time_s, self.signed_f0_hz

    def notes_to_mir_eval(self) -> tuple[np.ndarray, np.ndarray]:
        """Intervals in s [shape=(n_notes, 2)] and pitches in Hz: what ``mir_eval.transcription.evaluate`` takes as estimate."""
        return np.stack([self.notes["onset_s"], self.notes["offset_s"]], axis=1), self.note_hz

    def to_jams(self) -> Any:
        """A ``jams.JAMS`` with a ``pitch_contour`` and ``note_hz``. Raises ImportError without the extra ``formats``."""
        return to_jams(self)

    def write(self, stem: str | Path, *formats: str, style: Style | None = None) -> list[Path]:
        """Files of these formats, such as ``write("song", "midi", "svl")``: their paths. Raises SettingsError for a name that is
        no format, OutputError for a file that cannot be written."""
        check_formats(formats)
        return write_formats(self, Path(stem), formats, style)

    def plot(self, ax: Any = None) -> Any:
        """Pitch as a line over the notes as boxes, on these ``matplotlib`` axes or on new ones: the axes. Raises ImportError
        without the extra ``plot``."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=(10, 4))[1]
        pitch = 69.0 + 12.0 * np.log2(np.maximum(self.f0_hz, 1.0) / 440.0)
        for onset_s, offset_s, note, _, _ in self.notes.tolist():
            ax.add_patch(_box(onset_s, offset_s, note))
        ax.plot(self.time_s, np.where(self.voiced, pitch, np.nan), color="C3", linewidth=1.2)
        ax.set(xlabel="time (s)", ylabel="MIDI note number", title=self.name)
        return ax


def _box(onset_s: float, offset_s: float, note: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((onset_s, note - 0.5), offset_s - onset_s, 1.0, facecolor="C0", alpha=0.35)


def track(
    samples: np.ndarray | str | Path,
    sample_rate: int | None = None,
    *,
    settings: Settings | None = None,
    model: str | Path | None = None,
    reference: np.ndarray | str | Path | None = None,
    reference_rate: int | None = None,
    **changes: Any,
) -> Melody:
    """The melody of a recording, as the command would have heard and played it.

    ``samples``: floats of full scale 1, [shape=(n,)] or [shape=(n, n_channels)], which are averaged, at ``sample_rate`` Hz; or
    the path of an audio file, which has a rate of its own. ``settings``: all of
    them, or by name in ``changes``, as the command line has them: ``latency_ms=20, mode="bend", notes={"on_ms": 30}``.
    ``reference``: the band that is heard beside the voice, such as a karaoke track, as ``samples`` are and from the same
    moment on, at ``reference_rate`` Hz or at ``sample_rate``, or a path: it is taken out.
    Raises SettingsError for settings that cannot be used, InputError for a rate that no audio has, a file that is no audio
    or no model, ValueError for samples of another shape or type, TypeError for both ``settings`` and ``changes``, a rate that
    is lacking, or one beside a path.
    """
    if settings is not None and changes:
        raise TypeError(f"give settings or {', '.join(changes)}, not both; settings.changed(...) gives others")
    asked = settings or make_settings(changes)
    if isinstance(samples, (str, os.PathLike)):
        if sample_rate is not None:
            raise TypeError(f"{samples} has a sample rate of its own; leave the {sample_rate} out")
        with FileSource(samples, channel=asked.source.channel) as source:
            tracker = MelodyTracker.from_settings(asked, source.sample_rate, model, recorded=True)
            _know(tracker, reference, reference_rate)
            return hear_file(tracker, source)
    if sample_rate is None:
        raise TypeError("samples need their rate: track(samples, 44100); a path has one of its own")
    mono = _as_mono(samples)
    rate = check_sample_rate(sample_rate, "give the rate of the samples")
    tracker = MelodyTracker.from_settings(asked, rate, model, recorded=True)
    _know(tracker, reference, reference_rate)
    return hear(tracker, [mono])


def track_bag(bag: Any, **options: Any) -> Any:
    """The melodies of a Dask bag of paths, or of pairs of samples and their rate: a bag of Melody, made where its partitions
    are. ``options`` are those of ``track``."""
    return bag.map(_track_one, **options)


def _track_one(item: Any, **options: Any) -> Melody:
    if isinstance(item, tuple):
        samples, rate = cast("tuple[np.ndarray, int]", item)
        return track(samples, rate, **options)
    return track(item, **options)


def _know(tracker: MelodyTracker, band: np.ndarray | str | Path | None, rate: int | None) -> None:
    if isinstance(band, (str, os.PathLike)):
        with FileSource(band) as source:
            tracker.know_band(source.whole(), source.sample_rate)
    elif band is not None:
        tracker.know_band(_as_mono(band), check_sample_rate(rate or tracker.sample_rate, "give the rate of the reference"))


def hear_file(tracker: MelodyTracker, source: FileSource) -> Melody:
    """All of a file that is open, by a tracker of its rate, which has heard nothing since its last reset."""
    melody = hear(tracker, _pieces(source), str(source.path))
    said = tuple(text for text in (source.remark, source.notice) if text)
    object.__setattr__(melody, "remarks", said)
    return melody


def hear(tracker: MelodyTracker, blocks: Iterable[np.ndarray], name: str = "") -> Melody:
    """All that a tracker, which has heard nothing since its last reset, hears in blocks of samples [shape=(n,)]."""
    heard, n_samples = list[Heard](), 0
    for block in blocks:
        heard += tracker.feed(block)
        n_samples += len(block)
    heard += tracker.flush()
    return Melody.of(heard, tracker.latency, n_samples / tracker.sample_rate, tracker.replaced_samples, name)


def _pieces(source: FileSource) -> Iterator[np.ndarray]:
    """Its samples, AT_ONCE_S at a time: the more at once, the less each costs."""
    blocks, waiting = list[np.ndarray](), 0
    while (block := source.read()) is not None:
        blocks.append(block.copy())
        waiting += len(block)
        if waiting >= AT_ONCE_S * source.sample_rate:
            yield np.concatenate(blocks)
            blocks, waiting = [], 0
    if blocks:
        yield np.concatenate(blocks)


def _as_mono(samples: Any) -> np.ndarray:
    """Float32 [shape=(n,)]. Raises ValueError for what is not float, has another shape or is not of full scale 1."""
    samples = np.asarray(samples)
    if samples.dtype.kind != "f":
        raise ValueError(f"samples are {samples.dtype}; give floats of full scale 1, for instance samples / 32768 of 16-bit ones")
    if np.count_nonzero(np.abs(samples) > FULL_SCALES) > samples.size // 100:  # some are broken in sounds that are not
        raise ValueError(
            f"many samples lie beyond {FULL_SCALES:g}; give floats of full scale 1, for instance samples / 32768 of 16-bit ones"
        )
    if samples.ndim == 1:
        return samples.astype(np.float32, copy=False)
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= (len(samples) or samples.shape[1]):
        raise ValueError(f"samples have shape {samples.shape}; give (n,) or (n, n_channels), transposed if need be")
    return mix_down(samples.astype(np.float32, copy=False), np.empty(len(samples), np.float32))
