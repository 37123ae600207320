"""Every setting of the program, declared once: the YAML file, the command line and the API read this table.

Conventions
-----------
* A YAML file is one mapping of the names below; ``notes`` is a mapping of its own (see NoteSettings).
* A command-line option is the name with dashes, and wins over the file; of ``notes``, threshold by threshold.
* Units are in the names. A value that does not fit is told as it was written, where it stood, with the rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError, field_validator

from rt_melody.realtime.errors import SettingsError

VIRTUAL = "virtual"  # the value of midi_out that asks for a port of our own


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it must not hold a NUL character, which no name of a file or device can have")
    return text


def _file_name(value: Any) -> str:
    """Any name that the system has, also one that is no valid UTF-8."""
    if not isinstance(value, str):
        raise ValueError("it must be text; put it in quotes")
    if not value:
        raise ValueError("it must not be empty")
    return _without_nul(value)


FileName = Annotated[Any, PlainValidator(_file_name)]
Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_without_nul)]


class Settings(BaseModel):
    """What ``rt-melody`` does. Field descriptions are the help texts of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # what comes in
    input: list[FileName] = Field(
        ["mic"], min_length=1,
        description="mic, demo, - (raw mono float32 on stdin, with --rate), or audio files",
    )
    device: Optional[Union[int, Text]] = Field(None, description="the microphone: its number or part of its name, see --list-devices")
    rate: Optional[int] = Field(None, ge=1000, le=768000, description="sample rate in Hz, of stdin or asked of the microphone")
    channel: Optional[int] = Field(None, ge=1, le=512, description="use this channel of the microphone alone, from 1; default: the mean of all")
    realtime: bool = Field(False, description="read files, the demo and stdin at the pace of the clock, as --midi-out and --osc do with files anyway")

    # how it is heard
    latency_ms: float = Field(
        50.0, gt=0, le=2000,
        description="bound in ms on how far the estimate lies behind the newest sample: less is quicker, more is surer",
    )
    priority: bool = Field(True, description="live, ask the system for real-time priority and locked memory")
    model: Optional[FileName] = Field(None, description="model file; default: the one that is shipped")
    voicing_threshold: float = Field(0.7, gt=0, lt=1, description="probability of singing from which a frame is voiced")
    f0_min_hz: float = Field(55.0, gt=0, description="lowest pitch that is looked for, in Hz")
    f0_max_hz: float = Field(1450.0, gt=0, description="highest pitch that is looked for, in Hz")

    # what goes out
    midi_out: Optional[Text] = Field(None, description="play on the MIDI port of this name or part of it; without a name on a virtual port rt-melody")
    osc: list[Text] = Field([], description="send OSC to HOST:PORT, or to several of them")
    midi_file: Optional[FileName] = Field(None, description="write a standard MIDI file; with several inputs a folder, in which each gets its own")
    tempo_bpm: float = Field(120.0, ge=4, le=999, description="tempo of the MIDI file, beats a minute")
    csv: Optional[FileName] = Field(None, description="write one row a hop; with several inputs a folder, in which each gets its own")
    offset_ms: float = Field(0.0, ge=-5000, le=5000, description="add to the times in files, JSON lines and OSC time tags; what is sent live is sent at once all the same")
    jsonl: bool = Field(False, description="note events as JSON lines on stdout")
    jsonl_frames: bool = Field(False, description="the same, and a line for each hop: f0, voicing, level")
    stats: Optional[float] = Field(None, ge=0, description="tell how the program keeps time: at the end, and every so many seconds if a number is given")
    stats_file: Optional[FileName] = Field(None, description="write those figures as JSON lines, every second if --stats gives no number")
    quiet: bool = Field(False, description="no latency budget, no live line, no summary")

    # how the notes are played
    mode: Literal["mono", "legato", "bend", "mpe"] = Field("mono", description="strike each note; or slur those that follow on each other; or bend one note as far as the bend range goes; or strike each on a channel of its own, by MPE")
    transpose: int = Field(0, ge=-60, le=60, description="semitones up or down")
    octave: int = Field(0, ge=-5, le=5, description="octaves up or down")
    a4_hz: float = Field(440.0, ge=220, le=880, description="tuning: the frequency of A4 that is meant, in Hz")
    scale: Text = Field("off", description="draw notes to a scale such as 'D minor'; auto: to the key that is heard; off")
    snap: Text = Field("hard", description="how notes are drawn to the scale: hard, off, or at most by so many cents")
    note_range: list[Text] = Field(["C-1", "G9"], min_length=2, max_length=2, description="lowest and highest note that is played, as names (C4 is 60) or MIDI numbers; others are left out")
    gate: Text = Field("off", description="hear nothing below a level in dBFS; auto: nothing that is not 12 dB above the noise of the room; off")

    # how MIDI says them
    channel_out: int = Field(1, ge=1, le=16, description="MIDI channel; of no meaning in MPE")
    bend_range: Optional[int] = Field(None, ge=1, le=48, description="pitch-bend range in semitones, announced by RPN 0, set the synth alike; default: 2, in MPE 48")
    velocity_curve: Text = Field("linear", description="velocity of the loudness of the onset: soft (a soft voice plays loud), linear, hard, or fixed N")
    velocity_range: list[float] = Field([-45.0, -6.0], min_length=2, max_length=2, description="levels in dBFS that give velocity 1 and 127")
    loudness: Optional[Literal["off", "pressure", "cc2", "cc7", "cc11"]] = Field(None, description="MIDI message that carries the level of the voice while a note sounds; default: off, in MPE pressure")
    loudness_curve: Literal["soft", "linear", "hard"] = Field("linear", description="how it follows the level")
    loudness_range: list[float] = Field([-45.0, -6.0], min_length=2, max_length=2, description="levels in dBFS that give 0 and 127")
    brightness: Optional[Literal["off", "cc74"]] = Field(None, description="MIDI message that carries the brightness of the voice; default: off, in MPE cc74")
    brightness_curve: Literal["soft", "linear", "hard"] = Field("linear", description="how it follows the octaves of brightness")
    brightness_range: list[float] = Field([225.0, 1000.0], min_length=2, max_length=2, description="brightness in Hz that gives 0 and 127")
    midi_rate: int = Field(1500, ge=30, le=3125, description="bytes a second that bends and controllers may take; a DIN cable carries 3125")

    # what counts as a note
    notes: dict[str, float] = Field(default_factory=dict, description="thresholds of the note tracker; --print-config lists them")

    @field_validator("input", mode="before")
    @classmethod
    def _one_input(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("osc", mode="before")
    @classmethod
    def _one_receiver(cls, value: Any) -> Any:
        return [] if value is None else [value] if isinstance(value, str) else value

    @field_validator("device", mode="before")
    @classmethod
    def _number_or_name(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, str, type(None))):
            raise ValueError("it must be a number or part of a name")
        return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value

    @field_validator("midi_out", mode="before")
    @classmethod
    def _yes_is_virtual(cls, value: Any) -> Any:
        return {True: VIRTUAL, False: None}[value] if isinstance(value, bool) else value

    @field_validator("stats", mode="before")
    @classmethod
    def _yes_is_at_the_end(cls, value: Any) -> Any:
        return {True: 0.0, False: None}[value] if isinstance(value, bool) else value

    @field_validator("loudness", "brightness", "scale", "snap", "gate", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        """YAML 1.1 reads a bare ``off`` as false."""
        return "off" if value is False else value

    @field_validator("scale", "snap", "gate", "velocity_curve", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Words in a list are one text, and so is a number, since some of these may be numbers."""
        if isinstance(value, list):
            return " ".join(map(str, value))
        return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("note_range", mode="before")
    @classmethod
    def _notes_by_number(cls, value: Any) -> Any:
        return [str(part) if isinstance(part, int) else part for part in value] if isinstance(value, list) else value


# What pydantic found wrong -> the rule in our words. Placeholders are those of pydantic's context.
RULES = {
    "greater_than": "it must be above {gt:g}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be below {lt:g}",
    "less_than_equal": "it must be at most {le}",
    "finite_number": "it must be a finite number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_parsing_size": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "string_type": "it must be text; put it in quotes",
    "string_too_short": "it must not be empty",
    "literal_error": "it must be one of {expected}",
    "list_type": "it must be a list",
    "osc.list_type": "it must be HOST:PORT or a list of them",
    "input.list_type": "it must be a name or a list of names",
    "input.too_short": "it must name one input at least",
    "too_short": "it must have {min_length} at least",
    "too_long": "it must have {max_length} at most",
    "dict_type": "it must be a mapping of thresholds, such as {{on_ms: 30}}",
    "value_error": "{error}",
}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises SettingsError for a file that cannot be read or holds no mapping."""
    try:
        values = yaml.safe_load(Path(path).read_bytes())  # of bytes it finds out the encoding, be it UTF-16
    except OSError as error:
        raise SettingsError(f"the configuration {path} cannot be read ({error.strerror}); give --config a YAML file") from error
    except Exception as error:  # besides its own errors PyYAML lets through whatever a malformed scalar raises
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        raise SettingsError(f"{path}{line} is not YAML; rt-melody --print-config shows the form") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "one value"
        raise SettingsError(f"{path} holds {kind}, not a mapping of settings; rt-melody --print-config shows the form")
    return values


def make_settings(options: dict[str, Any], path: str | Path | None = None) -> Settings:
    """Settings from command-line ``options`` over a YAML file. Raises SettingsError, naming value, place and rule."""
    stored = {} if path is None else read_yaml(path)
    for key in stored:
        if key not in Settings.model_fields:
            raise SettingsError(f"{key} in {path} is no setting; {did_you_mean(key, Settings.model_fields)}")
    values = {**stored, **options}
    if isinstance(stored.get("notes"), dict) and "notes" in options:
        values["notes"] = {**stored["notes"], **options["notes"]}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_sentence(error, options, path)) from error
    if not settings.f0_min_hz < settings.f0_max_hz:
        low, high = (_place(key, getattr(settings, key), options, path) for key in ("f0_min_hz", "f0_max_hz"))
        raise SettingsError(f"{low} is not below {high}; the lowest pitch must lie below the highest")
    return settings


def nearest(key: Any, known: Iterable[str]) -> str | None:
    """The known name that ``key`` may be a slip of."""
    return next(iter(get_close_matches(str(key).replace("-", "_"), list(known), n=1)), None)


def did_you_mean(key: Any, known: Iterable[str]) -> str:
    """The way out for a name that is not known: the one that may be meant, or all of them."""
    near = nearest(key, known)
    return f"did you mean {near}?" if near else f"choose from {', '.join(known)}"


def _place(key: str, value: Any, options: dict[str, Any], path: str | Path | None) -> str:
    """A setting as the user wrote it, and where."""
    name, _, threshold = key.partition(".")
    if threshold:
        return f"--notes {threshold}={value}" if threshold in options.get(name, ()) else f"notes.{threshold}: {value} in {path}"
    if name in options:
        return f"--{name.replace('_', '-')} {value if value != '' else repr(value)}"
    return f"{name}: {value!r} in {path}" if path else f"{name} {value}"


def _sentence(error: ValidationError, options: dict[str, Any], path: str | Path | None) -> str:
    """The first thing that is wrong: the setting as written, the rule, what the setting means."""
    first = error.errors()[0]
    key, field = str(first["loc"][0]), Settings.model_fields.get(str(first["loc"][0]))
    if field is None:
        return f"{key} is no setting; {did_you_mean(key, Settings.model_fields)}"
    fault = first["msg"][0].lower() + first["msg"][1:]
    rule = RULES.get(f"{key}.{first['type']}") or RULES.get(first["type"], "{fault}")
    rule = rule.format(fault=fault, **first.get("ctx", {}))
    place = ".".join(str(part) for part in first["loc"][:2]) if key == "notes" else key
    return f"{_place(place, first['input'], options, path)} cannot be used: {rule} ({field.description})"


def dump_settings(settings: Settings) -> str:
    """A YAML file that ``--config`` takes: every setting, its meaning beside it."""
    lines = ["# rt-melody settings; rt-melody --config FILE reads this."]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        within = [f"  {key}: {_yaml(part)}" for key, part in value.items()] if isinstance(value, dict) else []
        text = f"{name}:" if within else f"{name}: {_yaml(value)}"
        lines += [f"{text:32} # {field.description}", *within]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    """A value in YAML on one line; text always in quotes, so that no word of it is read as something else, and in ASCII,
    whatever encoding a shell writes it in."""
    if isinstance(value, list):
        return f"[{', '.join(_yaml(part) for part in value)}]"
    style = '"' if isinstance(value, str) else None
    text = yaml.safe_dump(value, default_style=style, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
