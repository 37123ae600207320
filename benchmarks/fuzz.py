"""Coverage-guided fuzzing of what reads other people's bytes: headers of recordings, streams, YAML, what a model file says of itself.

``pip install atheris``, then ``python -m rt_melody.benchmarks.fuzz TARGET [CORPUS_DIR] [-max_total_time=60]``; what
follows the target are libFuzzer's own options. It stops at the first traceback and writes the input beside it.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def targets() -> dict[str, Callable[[bytes], None]]:
    """What is fuzzed, each with the errors that it may raise."""
    import yaml

    from rt_melody.models import torchscript
    from rt_melody.realtime.errors import InputError
    from rt_melody.realtime.settings.yaml_guard import YamlRefused, load_bounded_yaml
    from rt_melody.realtime.sources.file import FileSource
    from rt_melody.realtime.sources.headers import missing_s, repair
    from rt_melody.realtime.sources.pipe import PipeSource

    path = os.path.join(tempfile.mkdtemp(prefix="fuzz-"), "input")

    def in_a_file(data: bytes) -> str:
        with open(path, "wb") as file:
            file.write(data)
        return path

    def stream(data: bytes) -> None:
        for rate in (None, 48_000):
            try:
                with PipeSource(io.BytesIO(data), rate) as source:
                    while source.read() is not None:
                        pass
            except InputError:
                pass

    def headers(data: bytes) -> None:
        name = in_a_file(data)
        repair(name)
        assert missing_s(name) >= 0.0

    def recording(data: bytes) -> None:
        try:
            with FileSource(in_a_file(data)) as source:
                for _ in range(50):
                    if source.read() is None:
                        break
        except InputError:
            pass

    def settings(data: bytes) -> None:
        try:
            load_bounded_yaml(data)
        except (YamlRefused, yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError):
            pass  # what PyYAML lets through of malformed scalars, which the program's reader takes as one

    def model(data: bytes) -> None:
        for file in (data, _archive({f"m/extra/{torchscript.META}": data})):  # the latter as few mutations would find
            try:
                torchscript._read_meta(Path("m.pt"), file)
                torchscript._check_whole(Path("m.pt"), file)
            except torchscript.ModelFileError:
                pass

    return {"stream": stream, "headers": headers, "recording": recording, "settings": settings, "model": model}


def _archive(entries: dict[str, bytes]) -> bytes:
    """A zip file of these."""
    with zipfile.ZipFile(whole := io.BytesIO(), "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return whole.getvalue()


def _refuse(sentence: str) -> NoReturn:
    """As ``refuse`` of training does, whose module would bring along what is yet to be imported under atheris's eyes."""
    print(sentence, file=sys.stderr)
    sys.exit(2)


def main() -> None:
    try:
        import atheris  # pyright: ignore[reportMissingModuleSource]  # installed by hand: see above
    except ImportError:
        _refuse("fuzzing needs atheris, which is not installed: pip install atheris")
    with atheris.instrument_imports(  # pyright: ignore[reportAttributeAccessIssue]  # typeshed's stub knows only the rest
        include=["rt_melody.realtime.sources", "rt_melody.realtime.settings", "rt_melody.models.torchscript", "yaml", "zipfile", "json"]
    ):
        known = targets()
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        _refuse(f"give one of {', '.join(known)}, then a folder for the corpus and libFuzzer's options")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], known[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
