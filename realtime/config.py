"""Every setting of the program, declared once: the YAML file, the command line and the API read this table.

Conventions
-----------
* A YAML file is one mapping of the names below; ``notes`` is a mapping of its own (see NoteSettings).
* A command-line option is the name with dashes, and wins over the file.
* Units are in the names. A value that does not fit is told with its name, where it stood, and the rule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Optional, Union

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rt_melody.realtime.types import InputError

VIRTUAL = "virtual"  # the value of midi_out that asks for a port of our own


class Settings(BaseModel):
    """What ``rt-melody`` does. Field descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # what comes in
    input: list[str] = Field(
        ["mic"], min_length=1,
        description="mic, demo, - (raw float32 mono on stdin, with --rate), or audio files",
    )
    device: Optional[Union[int, str]] = Field(None, description="audio input: a number or part of a name (see --list-devices)")
    rate: Optional[int] = Field(None, ge=1000, le=768000, description="sample rate in Hz, of stdin or asked of the device")
    channel: Optional[int] = Field(None, ge=1, le=512, description="use this channel of the device alone, from 1; default: the mean of all")
    realtime: bool = Field(False, description="read files at the pace of the clock")

    # how it is heard
    latency_ms: float = Field(50.0, gt=0, le=2000, description="bound on how far the estimate lies behind the newest sample")
    model: Optional[str] = Field(None, description="model file; default: the one that is shipped")
    voicing_threshold: float = Field(0.5, gt=0, lt=1, description="probability of singing from which a frame is voiced")
    f0_min_hz: float = Field(55.0, gt=0, description="lowest pitch that is looked for")
    f0_max_hz: float = Field(1450.0, gt=0, description="highest pitch that is looked for")

    # what goes out
    midi_out: Optional[str] = Field(None, description="MIDI port, part of its name; without a name a virtual port rt-melody")
    channel_out: int = Field(1, ge=1, le=16, description="MIDI channel")
    bend_range: int = Field(2, ge=1, le=48, description="pitch-bend range in semitones; announced by RPN 0, set the synth alike")
    loudness: Literal["off", "pressure", "cc2", "cc7", "cc11"] = Field("off", description="what carries the level of the voice while a note sounds")
    osc: Optional[str] = Field(None, description="send OSC to HOST:PORT")
    midi_file: Optional[str] = Field(None, description="write a standard MIDI file; a folder where there are several inputs")
    tempo_bpm: float = Field(120.0, ge=4, le=999, description="tempo of the MIDI file, beats a minute")
    csv: Optional[str] = Field(None, description="write one row a hop; a folder where there are several inputs")
    jsonl: bool = Field(False, description="note events as JSON lines on stdout")
    quiet: bool = Field(False, description="no budget, no live line, no summary")

    # what counts as a note
    notes: dict[str, float] = Field(default_factory=dict, description="thresholds of the note tracker, NAME=VALUE")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InputError for a file that cannot be read or holds no mapping."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read ({error.strerror}); give --config a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line} is not YAML; rt-melody --print-config shows the form") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}, not a mapping of settings; rt-melody --print-config shows the form")
    return values


def make_settings(options: dict[str, Any], path: str | Path | None = None) -> Settings:
    """Settings from command-line ``options`` over a YAML file. Raises InputError, naming key, place and rule."""
    stored = read_yaml(path) if path else {}
    try:
        return Settings.model_validate({**stored, **options})
    except ValidationError as error:
        raise InputError(_sentence(error, options, path)) from error


def _sentence(error: ValidationError, options: dict[str, Any], path: str | Path | None) -> str:
    first = error.errors()[0]
    key = str(first["loc"][0])
    place = f"--{key.replace('_', '-')}" if key in options else f"{key} in {path}" if path else key
    if first["type"] == "extra_forbidden":
        return f"{place} is no setting; the settings are {', '.join(Settings.model_fields)}"
    rule = first["msg"][0].lower() + first["msg"][1:]
    return f"{place} is {first['input']!r}; {rule}"


def dump_settings(settings: Settings) -> str:
    """A YAML file that ``--config`` takes: every setting, its meaning beside it."""
    lines = ["# rt-melody settings; rt-melody --config FILE reads this."]
    for name, field in Settings.model_fields.items():
        value = yaml.safe_dump({name: getattr(settings, name)}, default_flow_style=True, width=10_000).strip()[1:-1]
        lines.append(f"{value:32} # {field.description}")
    return "\n".join(lines) + "\n"
