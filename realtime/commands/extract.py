"""``rt-melody extract``: folders and lists of recordings, overnight; see docs/corpus.md."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.realtime.checks import default_jobs
from rt_melody.realtime.console import say
from rt_melody.realtime.corpus.extract import by_processes, extract
from rt_melody.realtime.corpus.extraction import HEARD_BY, Extraction
from rt_melody.realtime.corpus.inputs import check_apart, find_recordings
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.formats.table import FORMATS, check_formats
from rt_melody.realtime.options import Parser, add_settings, asked_for
from rt_melody.realtime.settings import FLAT, Settings, make_settings
from rt_melody.realtime.settings.profiles import profile_values
from rt_melody.realtime.signals import stop_signals

GROUPS = ("tracking", "decoder", "performance", "midi")  # whose settings may be given
ALSO = ("channel", "jobs", "tempo_bpm", "offset_ms")
NOT = ("priority", "midi_back_end")
LOCAL = "local"
EXAMPLES = """examples:
  rt-melody extract recordings --out results
  rt-melody extract choir solo --out results --format csv jams parquet --jobs 8
  rt-melody extract --list files.txt --out results --format mir_eval
  rt-melody extract recordings --out results --scheduler tcp://head:8786

formats:
"""


def run(arguments: list[str]) -> int:
    """Do it; the exit status."""
    args = _parser().parse_args(arguments)
    base = {group: values for group, values in profile_values(args.profile or []).items() if group in HEARD_BY}
    settings = make_settings(asked_for(args), args.config, say, base)
    formats = tuple(dict.fromkeys(args.format or ["csv", "midi"]))
    check_formats(formats)
    out = Path(args.out)
    if not args.out or (os.path.exists(out) and not os.path.isdir(out)):
        raise SettingsError(f"--out {args.out or repr('')} is no folder; give the name of one")
    recordings = find_recordings(args.paths, args.list or [], args.match or [], out)
    check_apart(recordings, [ending for name in formats for ending in FORMATS[name].endings])
    extraction = Extraction(_absolute(settings), formats, os.path.abspath(out))
    with stop_signals() as signals:
        if args.scheduler is None:
            if args.send:
                raise SettingsError("--send is for workers on other machines; add --scheduler ADDRESS, or leave it out")
            outcomes = by_processes(extraction, min(settings.source.jobs or default_jobs(), len(recordings)))
            return extract(extraction, recordings, outcomes, signals)
        from rt_melody.realtime.corpus.cluster import on_cluster

        with on_cluster(extraction, args.scheduler, settings.source.jobs or default_jobs(), args.send) as outcomes:
            return extract(extraction, recordings, outcomes, signals)


def _absolute(settings: Settings) -> Settings:
    """With a model that is found from wherever a worker stands."""
    model = settings.tracking.model
    if model is None or model in SHIPPED_MODELS:
        return settings
    if not os.path.isfile(model):
        raise SettingsError(f"there is no model file {model}; leave --model out to use the one that is shipped")
    return settings.changed(tracking=settings.tracking.changed(model=os.path.abspath(model)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="rt-melody extract",
        usage="rt-melody extract FOLDER|FILE... --out FOLDER [--format NAME...] [--jobs N] [options]",
        description="Recordings to results, one or several files each, in the folders they came from; given again, it goes on.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES + "".join(f"  {name:<17}{form.meaning}\n" for name, form in FORMATS.items()),
    )
    parser.add_argument("paths", nargs="*", metavar="FOLDER|FILE", help="folders, which are walked, and recordings")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where results go, and manifest.jsonl, which tells of each")
    parser.add_argument(
        "--list", nargs="+", metavar="FILE", help="text files with the path of a recording in each line; - for standard input"
    )
    parser.add_argument("--match", nargs="+", metavar="PATTERN", help="names of files that are taken from folders; default: sounds")
    parser.add_argument("--format", nargs="+", metavar="NAME", help="what is written; default: csv midi; see below")
    parser.add_argument(
        "--scheduler", nargs="?", const=LOCAL, metavar="ADDRESS", help="work on a Dask cluster; alone: on one that is made on this machine"
    )
    parser.add_argument("--send", action="store_true", help="with --scheduler, send sounds and results, for workers that see other disks")
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; options given here win over it")
    parser.add_argument("--profile", nargs="+", action="extend", metavar="NAME", help="settings of profiles, of how it is heard and played")
    add_settings(parser, [name for name, place in FLAT.items() if name in ALSO or (place.group in GROUPS and name not in NOT)])
    return parser
