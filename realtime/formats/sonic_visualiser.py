"""Layers for Sonic Visualiser (and Tony): ``.svl``, XML that holds one model, its points and how they are shown.

Source of the format: what Sonic Visualiser 4 and 5 write by File > Export Annotation Layer. Positions are sample frames of a
rate that the model states; the program puts them in time with a recording of any rate.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound

RATE_HZ = 48_000
DOCTYPE = b"<!DOCTYPE sonic-visualiser>\n"
POINTS_JOINED = "4"  # plotStyle of a layer of time values: discrete curves
NOTES_IN_LOG = "1"  # verticalScale


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """Pitch as time values, and notes."""
    voiced = zip(sound.time_s[sound.voiced].tolist(), sound.f0_hz[sound.voiced].tolist())
    pitch = [{"frame": _frame(time_s), "value": f"{f0_hz:.3f}", "label": ""} for time_s, f0_hz in voiced]
    layer = {"type": "timevalues", "plotStyle": POINTS_JOINED, "verticalScale": NOTES_IN_LOG}
    _write(paths[0], "pitch", sound.duration_s, {"dimensions": "2"}, layer, pitch)
    notes = zip(sound.notes.tolist(), sound.note_hz.tolist())
    points = [
        {
            "frame": _frame(onset_s), "value": f"{hz:.3f}", "duration": _frame(offset_s - onset_s),
            "level": f"{velocity / 127:.4f}", "label": "",
        }
        for (onset_s, offset_s, _, _, velocity), hz in notes
    ]  # fmt: skip
    more = {"dimensions": "3", "subtype": "note", "valueQuantization": "0"}
    _write(paths[1], "notes", sound.duration_s, more, {"type": "notes", "verticalScale": NOTES_IN_LOG}, points)


def _frame(time_s: float) -> str:
    return str(round(time_s * RATE_HZ))


def _write(
    path: Path, name: str, duration_s: float, model: dict[str, str], layer: dict[str, str], points: Iterable[dict[str, str]]
) -> None:
    root = ET.Element("sv")
    data, display = ET.SubElement(root, "data"), ET.SubElement(root, "display")
    fixed = {"id": "1", "name": name, "sampleRate": str(RATE_HZ), "start": "0", "end": _frame(duration_s), "type": "sparse"}
    ET.SubElement(data, "model", {**fixed, **model, "resolution": "1", "notifyOnAdd": "true", "dataset": "0", "units": "Hz"})
    dataset = ET.SubElement(data, "dataset", {"id": "0", "dimensions": model["dimensions"]})
    for point in points:
        ET.SubElement(dataset, "point", point)
    ET.SubElement(display, "layer", {"id": "2", "name": name, "model": "1", **layer})
    ET.indent(root)
    path.write_bytes(b'<?xml version="1.0" encoding="UTF-8"?>\n' + DOCTYPE + ET.tostring(root) + b"\n")
