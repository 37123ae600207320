"""JAMS (JSON annotated music specification): ``pitch_contour`` and ``note_hz``, by the library ``jams``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.version import version


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """The object of ``to_jams`` as a file."""
    paths[0].write_text(to_jams(sound).dumps(), encoding="utf-8")


def to_jams(sound: TrackedSound) -> Any:
    """A ``jams.JAMS``: f0 with ``voiced`` in every observation, notes with their pitch in Hz. Raises ImportError without the
    extra ``formats``."""
    import jams  # pyright: ignore[reportMissingTypeStubs]

    made: Any = jams.JAMS()
    made.file_metadata.duration, made.file_metadata.title = sound.duration_s, sound.name
    made.annotations.append(_contour(jams, sound))
    made.annotations.append(_notes(jams, sound))
    return made


def _annotation(jams: Any, namespace: str, duration_s: float) -> Any:
    tool = jams.AnnotationMetadata(annotation_tools=f"rt-melody {version() or ''}".strip(), data_source="program")
    return jams.Annotation(namespace=namespace, time=0.0, duration=duration_s, annotation_metadata=tool)


def _contour(jams: Any, sound: TrackedSound) -> Any:
    made = _annotation(jams, "pitch_contour", sound.duration_s)
    for time_s, f0_hz, voiced, confidence, _ in sound.frames.tolist():
        made.append(time=time_s, duration=0.0, value={"index": 0, "frequency": f0_hz, "voiced": voiced}, confidence=confidence)
    return made


def _notes(jams: Any, sound: TrackedSound) -> Any:
    made = _annotation(jams, "note_hz", sound.duration_s)
    for (onset_s, offset_s, *_), hz in zip(sound.notes.tolist(), sound.note_hz.tolist()):
        made.append(time=onset_s, duration=offset_s - onset_s, value=hz, confidence=None)
    return made
