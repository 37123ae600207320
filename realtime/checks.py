"""What was asked for, looked through before anything is opened: what does not go together is one sentence, raised as
SettingsError. ``inputs`` are the names of ``Settings.source.input``, patterns resolved."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from pathlib import Path

from rt_melody.models.shipped import find_model
from rt_melody.realtime.band import check_band
from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.paths import clash
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.table import names_folder, output_path
from rt_melody.realtime.sources.table import NAMED


def meant(name: str) -> list[str]:
    """The files that a pattern means, where the shell has left it as it was, as those of Windows do."""
    if name in NAMED or os.path.exists(name) or not glob.has_magic(name):
        return [name]
    return sorted(glob.glob(name)) or [name]


def check_all(settings: Settings, inputs: list[str], several: bool, config: str | None) -> None:
    """``several``: whether what goes out is named after its input; ``config``: the file that the settings came from."""
    check_inputs(settings, inputs, several)
    check_jack(settings, inputs)
    check_outputs(settings, inputs, several, config)


# ---- what comes in -----------------------------------------------------------------------------


def check_inputs(settings: Settings, inputs: list[str], several: bool) -> None:
    model = settings.tracking.chosen_model
    check_band(settings, inputs)
    if several and settings.control.panel:
        raise SettingsError(f"--panel hears one input; the input is {' '.join(inputs)}")
    if several and set(NAMED) & set(inputs):
        raise SettingsError(f"--input {' '.join(inputs)}: several inputs must all be files; give mic, demo or - alone")
    _check_jobs(settings, inputs)
    if "-" in inputs and sys.stdin is None:
        raise SettingsError("--input - needs a standard input, which is closed; pipe samples in")
    if not os.path.isfile(find_model(model)):
        raise SettingsError(f"there is no model file {model}; leave --model out to use the one that is shipped")


def _check_jobs(settings: Settings, inputs: list[str]) -> None:
    jobs = settings.source.jobs
    if jobs in (None, 1):
        return
    if set(NAMED) & set(inputs):
        raise SettingsError(f"--jobs {jobs} is for several files, and the input is {inputs[0]}; leave --jobs out")
    if is_paced(settings):
        raise SettingsError(f"--jobs {jobs}: what is played at the pace of the clock is played one by one; leave --jobs out")
    if settings.report.stats_file:
        raise SettingsError(f"--jobs {jobs}: --stats-file tells of one process; leave one of the two out")


def is_paced(settings: Settings, aloud: bool = False) -> bool:
    """Whether a recording is played at the pace of the clock: somebody listens (``aloud``: to an output of ours), or it was
    asked for."""
    output = settings.output
    return bool(output.midi_out or output.osc or settings.source.realtime or aloud or settings.control.panel)


def jobs_for(settings: Settings, inputs: list[str], several: bool, aloud: bool) -> int:
    """How many inputs may be heard side by side: one where a clock drives them, or one file tells of all."""
    asked = settings.source.jobs
    if not several or is_paced(settings, aloud) or settings.report.stats_file:
        return 1
    return min(len(inputs), default_jobs() if asked is None else asked)


def default_jobs() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- JACK --------------------------------------------------------------------------------------


def check_jack(settings: Settings, inputs: list[str]) -> None:
    source = settings.source
    if not source.jack:
        return
    if "mic" not in inputs and settings.output.midi_out is None:
        raise SettingsError("--jack has nothing to do; listen with --input mic, or play with --midi-out")
    name_in_graph(settings)
    if "mic" in inputs and settings.output.listen not in (None, "off"):
        _check_listening(settings)
    if "mic" in inputs and source.rate is not None:
        raise SettingsError("--rate is not asked of JACK, whose graph has a rate of its own; leave it out, or --jack")
    if settings.midi.back_end is not None and settings.output.midi_out is not None:
        raise SettingsError("--midi-back-end is not used with --jack, whose MIDI port is in the graph; leave it out, or --jack")


def _check_listening(settings: Settings) -> None:
    """In the graph the instrument has one port, which it shares with a song."""
    device, song = settings.output.listen_device, settings.band.file
    if device is None or settings.source.reference is not None:
        return
    if song is not None:
        raise SettingsError(f"--listen-device {device}: with --jack the instrument goes out with the song; leave it out, or give --output-device")
    if isinstance(device, int):
        raise SettingsError(f"--listen-device {device} is a number of PortAudio's; with --jack give a part of a name in the graph")


def name_in_graph(settings: Settings) -> str | None:
    """What to listen to in the graph. Raises SettingsError for a number."""
    device = settings.source.device
    if isinstance(device, int):
        raise SettingsError(f"--device {device} is a number of PortAudio's; with --jack give a part of a name in the graph")
    return device


# ---- what goes out -----------------------------------------------------------------------------


def check_outputs(settings: Settings, inputs: list[str], several: bool, config: str | None = None) -> None:
    output = settings.output
    for option, (given, _) in settings.written_files.items():
        if given == "-":
            raise SettingsError(f"{option} - names no file; for lines on standard output give --jsonl, or --jsonl-frames")
    if output.writes_lines and sys.stdout is None:
        raise SettingsError("--jsonl needs a standard output, which is closed; leave it out or send it to a file")
    if several:
        _check_folders(settings, inputs)
    if sentence := clash(_written(settings, inputs, several), _read(settings, inputs, config), sys.stdout if output.writes_lines else None):
        raise SettingsError(sentence)


def _written(settings: Settings, inputs: list[str], several: bool) -> dict[str, str | Path]:
    """Every file that will be written, by what the user calls it."""
    stats_file = settings.report.stats_file
    paths = {
        (option, path): path
        for option, (folder, ending) in settings.written_files.items()
        for name in inputs
        for path in (output_path(folder, name, ending, several),)
    }
    written: dict[str, str | Path] = {f"{option} {path}": path for option, path in paths}
    return {**written, **({f"--stats-file {stats_file}": stats_file} if stats_file else {})}


def _read(settings: Settings, inputs: list[str], config: str | None) -> dict[str, str | Path]:
    """Every file that is read, likewise."""
    read: dict[str, str | Path] = {f"the input {name}": name for name in inputs if name not in NAMED}
    if (model := settings.tracking.model) is not None:
        read[f"the model {model}"] = model
    if (reference := settings.source.reference) is not None and inputs != ["mic"]:
        read[f"the reference {reference}"] = reference
    if (backing := settings.band.file) is not None:
        read[f"the backing {backing}"] = backing
    return {**read, **({f"the settings {config}": config} if config else {})}


def _folders(settings: Settings) -> list[str]:
    return [folder for folder, _ in settings.written_files.values()]


def _check_folders(settings: Settings, inputs: list[str]) -> None:
    """With several inputs the output paths are folders; two inputs of one stem would share a file."""
    stems = Counter(Path(name).stem for name in inputs)
    for given in _folders(settings):
        twice = next((stem for stem, count in stems.items() if count > 1), None)
        if twice:
            raise SettingsError(f"two inputs are called {twice}; their outputs in {given} would be one file: rename one")
        if os.path.lexists(given) and not os.path.isdir(given):
            raise SettingsError(f"{given} is no folder; with several inputs give the name of one")


def make_folders(settings: Settings, several: bool = True) -> None:
    """The folders that several inputs' outputs go to, and those that one input's are said to. Raises OutputError."""
    for given in _folders(settings):
        if not several and not names_folder(given):
            continue
        try:
            Path(given).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {given} cannot be made ({error.strerror}); choose another place") from error
