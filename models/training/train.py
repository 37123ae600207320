"""Train a model: ``python -m rt_melody.models.training.train --config live.yaml --data FOLDER --out runs/live``.

Read from top to bottom. Runs on a CPU, a GPU, or several processes started by ``torchrun`` (one thread a
process on a CPU: ``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m rt_melody.models.training.train ...``).
It resumes from ``OUT/last.pt`` whenever that exists; each example is a function of (seed, step, index), so a
resumed run sees what an unbroken one would have seen. Ctrl-C or SIGTERM: the step under way is finished and
saved first.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import yaml
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from rt_melody.models.build import build_network
from rt_melody.models.config import ModelConfig, load_config
from rt_melody.models.network import Network, WholeRecording
from rt_melody.models.paper import PaperNet, Stage1Alone
from rt_melody.models.streaming import denormals_are_flushed
from rt_melody.models.training.augment import AugmentConfig, ExampleMaker
from rt_melody.models.training.data import (
    SAMPLE_RATE,
    Clip,
    DataError,
    audio_files,
    data_folder,
    load_mir1k,
    load_mono,
    load_music,
    load_voices,
    noise_files,
    refuse,
)
from rt_melody.models.training.losses import melody_loss
from rt_melody.models.training.optimizer import Optimizer
from rt_melody.models.training.teacher import Teacher, teacher_loss
from rt_melody.models.training.validate import Figures, validate

CONFIG_DIR = Path(__file__).parent  # of the training configurations that are shipped
POSITIVE = ("steps", "batch", "seconds", "learning_rate", "clip_norm", "save_every", "validate_every")
CHECKPOINT = ("net", "average", "optimizer", "step", "training", "model")  # what a checkpoint holds
HEADS_SHOWN = 4  # in the progress bar


@dataclass(frozen=True)
class TrainConfig:
    """See live.yaml, where each line is explained."""

    model: str = "live"
    seed: int = 1
    steps: int = 4000
    decay_steps: int = 800
    warmup_steps: int = 100
    batch: int = 8
    seconds: float = 3.0
    learning_rate: float = 2e-3
    bank_rate: float = 0.3
    weight_decay: float = 0.01
    muon: bool = False
    clip_norm: float = 1.0
    ema: float = 0.998
    voicing_weight: float = 1.0
    fresh_weight: float = 1.0
    unsettled_weight: float = 1.0
    beginning_weight: float = 1.0
    teacher_weight: float = 1.0
    bf16: bool = True
    compile: bool = False
    workers: int = 0
    save_every: int = 100
    validate_every: int = 400
    validate_clips: int = 30


class Examples(Dataset):
    """Indexed by (step, index); see ExampleMaker."""

    def __init__(self, maker: ExampleMaker):
        self.maker = maker

    def __getitem__(self, key: tuple[int, int]):
        example = self.maker.make(*key)
        return torch.from_numpy(example.waveform), torch.from_numpy(example.pitch)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Leaves with status 2 on bad input, with 128 + N when signal N stopped it."""
    args = parse_arguments(arguments)
    try:
        with flushing_denormals():
            stopped_by = train(args)
    except DataError as error:
        refuse(str(error))
    except KeyboardInterrupt:  # before the first step: nothing is lost
        stopped_by = signal.SIGINT
    if stopped_by:
        raise SystemExit(128 + stopped_by)


def train(args: argparse.Namespace) -> int:
    """The whole training; the signal that stopped it before its last step, else 0."""
    config = read_config(args.config, args.set)
    shape = read_shape(config.model)
    rank, world, device = start_processes()
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--out {out} cannot be made ({error.strerror}); give the name of a folder") from error

    # The network, its averaged twin, the optimiser.
    torch.manual_seed(config.seed)
    net = build_network(shape).to(device)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # torch tells this one in prose alone
    average = copy.deepcopy(net).requires_grad_(False)
    try:
        optimizer = Optimizer(net, config.bank_rate, config.weight_decay, config.muon)
    except ValueError as error:
        raise DataError(str(error)) from error
    step = resume(out, net, average, optimizer, device)
    if step == 0 and args.init_from:
        take_weights(Path(args.init_from), net, average, device)
    if step == 0 and args.stage1_from:
        take_stage1(Path(args.stage1_from), net, average)
    trained = DistributedDataParallel(WholeRecording(net)) if world > 1 else WholeRecording(net)
    trained = torch.compile(trained) if config.compile else trained

    teacher = Teacher(Path(args.teacher), shape) if args.teacher else None

    # The data.
    folder = data_folder(args.data)
    prepared = Path(args.prepared) if args.prepared else None
    if prepared and not prepared.is_dir():
        raise DataError(f"--prepared {prepared} is no folder; make it with training.prepare, or leave it out")
    clips, absent = load_voices(folder, prepared)
    music = load_music(prepared)
    if rank == 0:
        print(told_data(clips, music, absent))
    noises, rooms = load_mono(noise_files(folder, "train")), load_mono(audio_files(folder / "rooms"))
    rendered = load_mono(audio_files(Path(args.rendered))) if args.rendered else []
    if args.rendered and not rendered:
        raise DataError(f"--rendered {args.rendered} holds no recordings; give the folder of the rendered bands, or leave it out")
    samples = round(config.seconds * SAMPLE_RATE)
    maker = ExampleMaker(clips, noises, rooms, samples, AugmentConfig(), config.seed, rendered, music)
    keys = ([(s, rank * config.batch + i) for i in range(config.batch)] for s in range(step, config.steps))
    batches = DataLoader(Examples(maker), batch_sampler=keys, num_workers=config.workers)
    checked = spread(load_mir1k(folder, "valid"), config.validate_clips) if rank == 0 else []

    # The steps.
    bar = tqdm(total=config.steps, initial=step, disable=rank != 0, mininterval=10, smoothing=0.05)
    told, stopped_by = "", 0
    began = time.monotonic()
    with StopRequest() as stop:
        for waveform, pitch in batches:
            net.train()
            optimizer.set_rate(config.learning_rate * schedule(step, config))
            with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
                output = trained(waveform.to(device))
            pitch_loss, voicing_loss = melody_loss(
                output, pitch.to(device), shape, config.fresh_weight, config.unsettled_weight, config.beginning_weight
            )
            if teacher:
                taught_pitch, taught_voicing = teacher_loss(output, teacher(waveform), shape)
                pitch_loss = pitch_loss + config.teacher_weight * taught_pitch
                voicing_loss = voicing_loss + config.teacher_weight * taught_voicing
            optimizer.zero_grad()
            (pitch_loss + config.voicing_weight * voicing_loss).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
            optimizer.step()
            step += 1
            done = step == config.steps
            stopped_by = 0 if done else stop.agreed(world, device)
            if rank == 0:
                follow(average, net, min(config.ema, step / (step + 10)))
                if done or (step % config.validate_every == 0 and not stopped_by):
                    told = report(out, average, checked, shape, step, time.monotonic() - began)
                bar.set_postfix_str(f"pitch {pitch_loss.item():.3f} voicing {voicing_loss.item():.3f} {told}")
                bar.update()
                if done or stopped_by or step % config.save_every == 0:
                    save(out / "last.pt", net, average, optimizer, step, config, shape)
            if stopped_by:
                break
    bar.close()
    if world > 1:
        dist.destroy_process_group()
    if stopped_by and rank == 0:
        print(f"stopped and saved at step {step} of {config.steps}; the same command goes on from there")
    return stopped_by


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a model; resumes by itself.")
    parser.add_argument("--config", required=True, help="training configuration: YAML file, or the name of a shipped one")
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--rendered", metavar="FOLDER", help="rendered accompaniments to draw from as well, see training.gm")
    parser.add_argument("--prepared", metavar="FOLDER", help="what training.prepare made: f0 of solo takes, instrumental music")
    parser.add_argument("--out", required=True, help="folder for checkpoints and the log")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="change one line of the configuration")
    parser.add_argument("--init-from", metavar="CHECKPOINT", help="begin a fresh run with the averaged weights of another")
    parser.add_argument("--teacher", metavar="MODEL", help="learn from this exported model, too, see training.teacher")
    parser.add_argument(
        "--stage1-from", metavar="CHECKPOINT", help="begin the paper's model with these pre-trained banks, sorted by frequency"
    )
    return parser.parse_args(arguments)


def read_config(name_or_path: str, changes: Sequence[str] = ()) -> TrainConfig:
    """A YAML file, else a shipped configuration by name (``live`` or ``live.yaml``). Raises DataError."""
    path = find_config(name_or_path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold lines 'key: value'; see {CONFIG_DIR / 'live.yaml'}")
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise DataError(f"--set {change} must be KEY=VALUE")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise DataError(f"--set {change} has a value that is not YAML; write for instance steps=100") from None
    known = {f.name: type(f.default) for f in fields(TrainConfig)}
    unknown = [key for key in values if key not in known]
    if unknown:
        raise DataError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    typed: dict[str, Any] = {key: as_type(path, key, value, known[key]) for key, value in values.items()}
    config = TrainConfig(**typed)
    for key in POSITIVE:
        if getattr(config, key) <= 0:
            raise DataError(f"{path}: {key} is {getattr(config, key)}, it must be above 0")
    return config


def find_config(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = CONFIG_DIR / (path.name if path.suffix else f"{path.name}.yaml")
    if shipped.is_file() and path.parent == Path("."):
        return shipped
    names = ", ".join(sorted(p.stem for p in CONFIG_DIR.glob("*.yaml")))
    raise DataError(f"there is no training configuration {name_or_path}; give a YAML file or one of the shipped: {names}")


def as_type(path: Path, key: str, value: Any, wanted: type) -> Any:
    """``value`` as the type of its default: a whole number may stand for a decimal one, nothing else for another."""
    if wanted is float and not isinstance(value, bool):
        try:
            return float(value)  # also "1e-3", which YAML 1.1 takes for a text
        except (TypeError, ValueError):
            pass
    if type(value) is wanted:
        return value
    raise DataError(f"{path}: {key} is {value!r}, it must be of type {wanted.__name__}")


def read_shape(name_or_path: str) -> ModelConfig:
    """The configuration of a model that can be built. Raises DataError."""
    try:
        config = load_config(name_or_path)
        build_network(config)
        return config
    except yaml.YAMLError as error:
        raise DataError(f"{name_or_path} cannot be read as YAML ({' '.join(str(error).split())})") from error
    except (ValueError, TypeError, AttributeError) as error:  # of a value that fits no field, too
        raise DataError(f"{name_or_path} is no configuration of a model ({error})") from error


class StopRequest:
    """Within it, SIGINT and SIGTERM are noted instead of obeyed; a second one of a kind ends at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> StopRequest:
        self.noted = 0
        self.before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = number
        signal.signal(number, signal.SIG_DFL)

    def agreed(self, world: int, device: torch.device) -> int:
        """The signal that any process was sent, 0 for none: all leave after the same step."""
        if world == 1:
            return self.noted
        noted = torch.tensor(self.noted, device=device)
        dist.all_reduce(noted, dist.ReduceOp.MAX)
        return int(noted)


@contextmanager
def flushing_denormals() -> Generator[None]:
    """Meanwhile this thread takes them for zero, which is quicker; afterwards as before."""
    before = denormals_are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def start_processes() -> tuple[int, int, torch.device]:
    """Rank, number of processes, device."""
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    rank = dist.get_rank() if world > 1 else 0
    local = int(os.environ.get("LOCAL_RANK", 0))
    return rank, world, torch.device(f"cuda:{local}" if cuda else "cpu")


def schedule(step: int, config: TrainConfig) -> float:
    """Warm-up, plateau, linear decay to zero over the last ``decay_steps``; factor 0..1."""
    return min(1.0, (step + 1) / max(1, config.warmup_steps), (config.steps - step) / max(1, config.decay_steps))


def follow(average: torch.nn.Module, net: torch.nn.Module, keep: float) -> None:
    """Exponential moving average of weights and normalisation statistics."""
    with torch.no_grad():
        for a, b in zip(average.state_dict().values(), net.state_dict().values()):
            if a.is_floating_point():
                a.lerp_(b, 1.0 - keep)
            else:
                a.copy_(b)


def told_data(clips: list[Clip], music: list, absent: list[str]) -> str:
    """One line: what is trained on, and what is not there."""
    minutes = sum(len(c.voice) for c in clips) / SAMPLE_RATE / 60
    singers = len({c.singer for c in clips})
    said = f"training on {len(clips)} clips of {singers} singers or groups, {minutes:.0f} minutes"
    said += f", {sum(map(len, music)) / SAMPLE_RATE / 60:.0f} minutes of music without a voice"
    return said + (f"; not there: {', '.join(absent)}" if absent else "")


def spread(clips: list[Clip], count: int) -> list[Clip]:
    """About ``count`` of ``clips``, evenly spaced."""
    return clips[:: max(1, len(clips) // max(1, count))]


def report(
    out: Path, average: Network, clips: list[Clip], shape: ModelConfig, step: int, seconds: float
) -> str:
    """Validate, log a line a head, give the text for the progress bar."""
    mixture = validate(average, clips, shape, "mixture")
    voice = validate(average, clips, shape, "voice")
    with open(out / "log.txt", "a", encoding="utf-8") as log:
        for delay, m, v in zip(shape.look_ahead_ms, mixture, voice):
            log.write(f"step {step} at {seconds:.0f} s, look-ahead {delay:g} ms: mixture {m} | voice {v}\n")
    return summary(shape.look_ahead_ms, mixture, voice, step)


def summary(delays_ms: Sequence[float], mixture: list[Figures], voice: list[Figures], step: int) -> str:
    """``| OA at step 600: 0 ms 0.75/0.90, 40 ms ...``: mixture/voice of a few heads, first and last among them."""
    last = len(delays_ms) - 1
    shown = sorted({round(i * last / (HEADS_SHOWN - 1)) for i in range(HEADS_SHOWN)})
    heads = (f"{delays_ms[i]:g} ms {mixture[i].overall:.3f}/{voice[i].overall:.3f}" for i in shown)
    return f"| OA at step {step}: {', '.join(heads)}"


def save(path: Path, net, average, optimizer, step: int, config: TrainConfig, shape) -> None:
    """Written beside and moved into place: a stop at any moment leaves a whole checkpoint."""
    beside = path.with_suffix(".tmp")
    torch.save(
        {
            "net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
            "step": step, "training": vars(config), "model": shape.to_dict(),
        },
        beside,
    )
    beside.replace(path)


def resume(out: Path, net, average, optimizer, device) -> int:
    """The step to go on from; 0 for a fresh run. Raises DataError for a checkpoint of another network."""
    path = out / "last.pt"
    if not path.exists():
        return 0
    stored = load_checkpoint(path, device)
    fill(path, stored, (net, "net"), (average, "average"))
    try:
        optimizer.load_state_dict(stored["optimizer"])
    except ValueError as error:
        way_out = f"set muon as it was, or begin anew with --init-from {path} and another --out"
        raise DataError(f"{path} cannot be gone on from ({error}); {way_out}") from error
    return stored["step"]


def take_weights(path: Path, net, average, device) -> None:
    """The averaged weights of another run, and nothing else of it. Raises DataError."""
    fill(path, load_checkpoint(path, device), (net, "average"), (average, "average"))


def take_stage1(path: Path, net, average) -> None:
    """The published recipe: banks pre-trained alone, sorted by peak frequency. Raises DataError."""
    stored = load_checkpoint(path)
    if not isinstance(net, PaperNet) or stored["model"]["family"] != "stage1":
        raise DataError(f"--stage1-from {path}: give a checkpoint of paper-stage1, and train a model of the family paper")
    alone = Stage1Alone(ModelConfig.from_dict(stored["model"]))
    fill(path, stored, (alone, "average"))
    try:
        for module in (net, average):
            module.take_stage1(alone)
    except RuntimeError as error:
        raise DataError(f"{path} has banks of another shape; pre-train with the configuration that is trained") from error


def load_checkpoint(path: Path, device="cpu") -> dict:
    """What ``save`` stored. Raises DataError."""
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        return {key: stored[key] for key in CHECKPOINT}
    except FileNotFoundError as error:
        raise DataError(f"there is no checkpoint {path}") from error
    except Exception as error:  # whatever a foreign or damaged file makes the loader raise
        raise DataError(f"{path} is not a checkpoint of this program ({type(error).__name__}); give a last.pt") from error


def fill(path: Path, stored: dict, *parts: tuple[nn.Module, str]) -> None:
    try:
        for module, key in parts:
            module.load_state_dict(stored[key])
    except RuntimeError as error:
        raise DataError(f"{path} is of a network of another shape; use its own configuration, or another --out") from error


if __name__ == "__main__":
    main()
