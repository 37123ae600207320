"""Train a model: ``python -m rt_melody.models.training.train --config live.yaml --data FOLDER --out runs/live``.

Read from top to bottom. Runs on a CPU, a GPU, or several processes started by ``torchrun`` (one thread a
process on a CPU: ``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m rt_melody.models.training.train ...``).
It resumes from ``OUT/last.pt`` whenever that exists; each example is a function of (seed, step, index), so a
resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from rt_melody.models.build import build_network
from rt_melody.models.config import load_config
from rt_melody.models.network import WholeRecording
from rt_melody.models.training.augment import AugmentConfig, ExampleMaker
from rt_melody.models.training.data import SAMPLE_RATE, data_folder, load_mir1k, load_mono_folder
from rt_melody.models.training.losses import melody_loss
from rt_melody.models.training.validate import validate


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
    clip_norm: float = 1.0
    ema: float = 0.998
    voicing_weight: float = 1.0
    bf16: bool = True
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


def main() -> None:
    args = parse_arguments()
    config = read_config(args.config, args.set)
    rank, world, device = start_processes()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    # The network, its averaged twin, the optimiser.
    torch.manual_seed(config.seed)
    shape = load_config(config.model)
    net = build_network(shape).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(net).requires_grad_(False)
    optimizer = torch.optim.AdamW(parameter_groups(net, config), weight_decay=config.weight_decay, betas=(0.9, 0.98))
    step = resume(out, net, average, optimizer, device)
    trained = DistributedDataParallel(WholeRecording(net)) if world > 1 else WholeRecording(net)

    # The data.
    folder = data_folder(args.data)
    clips = load_mir1k(folder, "train", keep_disputed=False)
    noises, rooms = load_mono_folder(folder / "noise"), load_mono_folder(folder / "rooms")
    maker = ExampleMaker(clips, noises, rooms, round(config.seconds * SAMPLE_RATE), AugmentConfig(), config.seed)
    keys = ([(s, rank * config.batch + i) for i in range(config.batch)] for s in range(step, config.steps))
    batches = DataLoader(Examples(maker), batch_sampler=keys, num_workers=config.workers)
    checked = load_mir1k(folder, "valid")[:: max(1, 90 // config.validate_clips)] if rank == 0 else []

    # The steps.
    bar = tqdm(total=config.steps, initial=step, disable=rank != 0, mininterval=10, smoothing=0.05)
    told = ""
    began = time.monotonic()
    for waveform, pitch in batches:
        net.train()
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * config.learning_rate * schedule(step, config)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            output = trained(waveform.to(device))
        pitch_loss, voicing_loss = melody_loss(output, pitch.to(device), shape)
        optimizer.zero_grad(set_to_none=True)
        (pitch_loss + config.voicing_weight * voicing_loss).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
        optimizer.step()
        step += 1
        if rank == 0:
            follow(average, net, min(config.ema, step / (step + 10)))
            bar.update()
            bar.set_postfix_str(f"pitch {pitch_loss.item():.3f} voicing {voicing_loss.item():.3f} {told}")
            if step % config.validate_every == 0 or step == config.steps:
                told = report(out, average, checked, shape, step, time.monotonic() - began)
            if step % config.save_every == 0 or step == config.steps:
                save(out / "last.pt", net, average, optimizer, step, config, shape)
    if world > 1:
        dist.destroy_process_group()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a model; resumes by itself.")
    parser.add_argument("--config", required=True, help="training configuration (YAML)")
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--out", required=True, help="folder for checkpoints and the log")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="change one line of the configuration")
    return parser.parse_args()


def read_config(path: str, changes: list[str]) -> TrainConfig:
    values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for change in changes:
        key, _, value = change.partition("=")
        values[key] = yaml.safe_load(value)
    unknown = sorted(set(values) - {f.name for f in fields(TrainConfig)})
    if unknown:
        raise SystemExit(f"{path}: unknown key {unknown[0]!r}")
    return TrainConfig(**values)


def start_processes() -> tuple[int, int, torch.device]:
    """Rank, number of processes, device."""
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    rank = dist.get_rank() if world > 1 else 0
    local = int(os.environ.get("LOCAL_RANK", 0))
    torch.set_flush_denormal(True)
    return rank, world, torch.device(f"cuda:{local}" if cuda else "cpu")


def parameter_groups(net: torch.nn.Module, config: TrainConfig) -> list[dict]:
    """Kernels of stage 1 learn slower and without decay; so do biases and norms without decay."""
    banks, matrices, others = [], [], []
    for name, p in net.named_parameters():
        (banks if "bank" in name else matrices if p.dim() > 1 else others).append(p)
    return [
        {"params": banks, "rate": config.bank_rate, "weight_decay": 0.0},
        {"params": matrices, "rate": 1.0},
        {"params": others, "rate": 1.0, "weight_decay": 0.0},
    ]


def schedule(step: int, config: TrainConfig) -> float:
    """Warm-up, plateau, linear decay to zero over the last ``decay_steps``; factor 0..1."""
    return min(1.0, (step + 1) / config.warmup_steps, (config.steps - step) / max(1, config.decay_steps))


def follow(average: torch.nn.Module, net: torch.nn.Module, keep: float) -> None:
    """Exponential moving average of weights and normalisation statistics."""
    with torch.no_grad():
        for a, b in zip(average.state_dict().values(), net.state_dict().values()):
            if a.is_floating_point():
                a.lerp_(b, 1.0 - keep)
            else:
                a.copy_(b)


def report(out: Path, average: torch.nn.Module, clips: list, shape, step: int, seconds: float) -> str:
    """Validate, log a line a head, give the text for the progress bar."""
    mixture = validate(average, clips, shape, "mixture")
    voice = validate(average, clips, shape, "voice")
    with open(out / "log.txt", "a", encoding="utf-8") as log:
        for delay, m, v in zip(shape.look_ahead_ms, mixture, voice):
            log.write(f"step {step} at {seconds:.0f} s, look-ahead {delay:g} ms: mixture {m} | voice {v}\n")
    middle = list(shape.look_ahead_ms).index(40) if 40 in shape.look_ahead_ms else -1
    return f"| OA {mixture[middle].overall:.3f} / {voice[middle].overall:.3f}"


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
    """The step to go on from; 0 for a fresh run."""
    path = out / "last.pt"
    if not path.exists():
        return 0
    stored = torch.load(path, map_location=device, weights_only=True)
    net.load_state_dict(stored["net"])
    average.load_state_dict(stored["average"])
    optimizer.load_state_dict(stored["optimizer"])
    return stored["step"]


if __name__ == "__main__":
    main()
