"""Accuracy of the tracker by corpus and by technique: clean voices of singers that no training hears, alone and with a
second, quieter voice beside them, and instrumental music in which nobody sings.

``python -m rt_melody.benchmarks.corpora --data FOLDER --music FOLDER ...`` prints one row a corpus of ``voices/valid``,
one a technique, and one a folder of music. The voices' labels are those frames on which two other trackers agree; the rest, marked
unknown, is not scored, so these figures leave out the hard frames and compare trackers of one kind only.

Conventions: every clip is a stream of its own from reset to flush. The second voice is another corpus's clip, repeated
where it is shorter, so many dB under the first, RMS where voiced; only the first counts. "on the lead" is the share of
the first's voiced frames that are told voiced within 50 cents of it. Sounds are heard many hops at a time, as files are,
which gives the frames of the live stream but for rounding.

Techniques are GTSinger's, by the clips' names. Of each, one clip or two are of the one singer who is held out, of whom other clips
show the same songs without it ("control"); ``--heard`` adds those of ``voices/train``, which say more, and less, since training
hears them. No bass is held out and no clip is named one: "low" are MIR-1K's test clips whose median lies below D3, "bass" are their
frames below A2.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.conditions import peaked
from rt_melody.benchmarks.melody_scores import Frames, MelodyScores, aligned
from rt_melody.benchmarks.report import command, commit, markdown
from rt_melody.benchmarks.trackers import Tracker, by_sound, melody_tracker
from rt_melody.models.training.augment import is_low, voiced_rms
from rt_melody.models.training.data import SAMPLE_RATE, DataError, Recording, clip_of, data_folder, refuse
from rt_melody.models.training.datasets import read_mir1k, read_voices
from rt_melody.models.training.prepare import PIECE_S, music_files, pieces_of
from rt_melody.realtime.errors import RtMelodyError

BACKING_DB = 8.0  # of the second voice under the first
PIECES = 40  # of each folder of music, about
FIGURES = ("OA", "RPA", "VR", "VFA")
TECHNIQUES = ("control", "breathy", "falsetto", "mixed", "pharyngeal", "vibrato", "glissando")
BASS_HZ = 110.0


def scored(recording: Recording, track: Tracker, sound: np.ndarray) -> Frames:
    """The tracker's estimates of ``sound`` against the recording's labels, where these are known."""
    told, _ = track(sound)
    estimate = [np.array([getattr(f, name) for f in told]) for name in ("time_s", "f0_hz", "voiced", "confidence")]
    frames = aligned(recording.times_s, recording.f0_hz, *estimate)
    labels = np.concatenate([recording.pitch[:1], recording.pitch])  # mir_eval tells the first at 0 s, too, where it stands later
    return frames.only(labels[-len(frames.ref_voicing) :] >= 0)


def on_the_lead(frames: Frames) -> float:
    """Percent of the voiced frames that are told voiced and right."""
    sung = frames.ref_voicing > 0
    return 100.0 * float(frames.right()[sung].mean()) if sung.any() else 0.0


def backed(recording: Recording, other: Recording) -> np.ndarray:
    """The recording's voice with ``other``'s BACKING_DB under it [shape=(n_samples,)]."""
    levels = [voiced_rms(r.waveform, clip_of(r).pitch) for r in (recording, other)]
    gain = np.float32(levels[0] / levels[1] * 10.0 ** (-BACKING_DB / 20.0))
    return recording.waveform + gain * np.resize(other.waveform, len(recording.waveform))


def another(recordings: Sequence[Recording], place: int, by: str = "dataset") -> Recording:
    """A recording that differs ``by`` this, such as of another corpus: the first such from half the list on, going round; the one
    before it where there is none."""
    own = getattr(recordings[place], by)
    ahead = (recordings[(place + len(recordings) // 2 + k) % len(recordings)] for k in range(len(recordings)))
    return next((r for r in ahead if getattr(r, by) != own), recordings[place - 1])


def voices_table(recordings: Sequence[Recording], track: Tracker) -> str:
    """A row a corpus, and one of all: figures of the clean voice, and what is on the lead with another beside it."""
    found: dict[str, list[tuple[Frames, Frames]]] = {}
    for place, recording in enumerate(recordings):
        clean = scored(recording, track, peaked(recording.waveform))
        beside = scored(recording, track, peaked(backed(recording, another(recordings, place))))
        for name in (recording.dataset, "all"):
            found.setdefault(name, []).append((clean, beside))
    lines = []
    for name in sorted(found, key=lambda n: (n == "all", n)):
        clean, beside = zip(*found[name])
        pooled = MelodyScores(clean).pooled()
        both = [np.mean([on_the_lead(f) for f in several]) for several in (clean, beside)]
        lines.append([name, len(clean), *(pooled[figure] for figure in FIGURES), *both])
    return markdown(["corpus", "clips", *FIGURES, "on the lead", f"with a voice {BACKING_DB:g} dB below"], lines)


def technique_of(recording: Recording) -> str | None:
    """The last of TECHNIQUES in its name, whose words are joined by dashes."""
    return next((word for word in reversed(recording.name.split("-")) if word in TECHNIQUES), None)


def low_voices(folder: Path) -> Iterator[Recording]:
    """MIR-1K's recordings in ``folder`` whose median pitch lies below D3; none where it is not there."""
    if folder.is_dir():
        yield from (recording for recording in read_mir1k(folder) if is_low(clip_of(recording)))


def low_frames(frames: Frames) -> Frames:
    """Those sung below BASS_HZ."""
    return frames.only((frames.ref_voicing > 0) & (10.0 * 2.0 ** (frames.ref_cent / 1200.0) < BASS_HZ))


def techniques_table(groups: Mapping[str, Iterable[Recording]], low: Iterable[Recording], track: Tracker) -> str:
    """A row a technique of each of ``groups``, named by whether training hears them, and those of ``low`` clips, which it does not."""
    lines = []
    for group, recordings in groups.items():
        found: dict[str, list[Frames]] = {name: [] for name in TECHNIQUES}
        for recording in recordings:
            if technique := technique_of(recording):
                found[technique].append(scored(recording, track, peaked(recording.waveform)))
        lines += [[name, group, *_figures(several)] for name, several in found.items() if several]
    lows = [scored(recording, track, peaked(recording.waveform)) for recording in low]
    lines += [["low", "no", *_figures(lows)]] if lows else []
    bass = [frames for frames in map(low_frames, lows) if len(frames.ref_voicing)]
    if bass:
        clips, frames, _, pitch, recall, _ = _figures(bass)
        lines.append([f"bass, below {BASS_HZ:g} Hz", "no", clips, frames, None, pitch, recall, None])
    return markdown(["technique", "heard in training", "clips", "frames", *FIGURES], lines)


def _figures(several: Sequence[Frames]) -> list[object]:
    """Clips, their frames, and FIGURES pooled."""
    pooled = MelodyScores(several).pooled()
    return [len(several), sum(len(f.ref_voicing) for f in several), *(pooled[name] for name in FIGURES)]


def music_table(folders: Sequence[Path], track: Tracker) -> str:
    """A row a folder: how much of its music is told to be voiced, and of its worst piece."""
    lines = []
    for folder in folders:
        pieces = [piece for path in music_files(folder) for _, piece in pieces_of(path)]
        shares = []
        for piece in pieces[:: max(1, len(pieces) // PIECES)]:
            told, _ = track(peaked(piece))
            shares.append(100.0 * np.mean([f.voiced for f in told]))
        lines.append([folder.name, len(shares), len(shares) * PIECE_S, np.mean(shares), np.median(shares), np.max(shares)])
    return markdown(["music", "pieces", "seconds", "voiced %", "of the median piece", "of the worst"], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--music", nargs="*", default=[], type=Path, metavar="FOLDER", help="instrumental music that no training heard")
    parser.add_argument("--heard", action="store_true", help="techniques also of voices/train, marked as heard in training")
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--model", help="model file; default: the shipped one")
    args = parser.parse_args(arguments)
    try:
        track = by_sound(melody_tracker(SAMPLE_RATE, args.model, recorded=True, latency_ms=args.latency_ms))
        data = data_folder(args.data)
        for folder in args.music:
            music_files(folder)  # refused early
        how = f"`{command()}` at {commit()}; bound {args.latency_ms:g} ms; percent of frames, pooled."
        print("# Accuracy by corpus and technique", how, sep="\n\n")
        groups = {"no": data / "voices" / "valid", **({"yes": data / "voices" / "train"} if args.heard else {})}
        for told, folder in list(groups.items()):
            if not folder.is_dir():
                print(f"\nthere are no voices at {folder}; their figures are left out")
                del groups[told]
        if "no" in groups:
            print("\n" + voices_table(list(read_voices(groups["no"])), track))
        voices = {told: read_voices(folder) for told, folder in groups.items()}
        print("\n" + techniques_table(voices, low_voices(data / "mir-1k" / "test"), track))
        if args.music:
            print("\n" + music_table(args.music, track))
    except (DataError, RtMelodyError) as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
