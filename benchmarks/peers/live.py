"""The tools that can listen live, each behind one small adaptor.

Where a tool has a recommended threshold of voicing it is used; where it has none, the one that was best on MIR-1K's
validation singers, voice and mixture pooled. ``time_s`` of an estimate is the moment whose f0 it tells of a gliding
tone, within 3 ms; a test measures it.
"""

# Of the tools, those that are absent are left out.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rt_melody.benchmarks.peers.base import F0_MAX_HZ, F0_MIN_HZ, LivePeer, Window, Word
from rt_melody.benchmarks.peers.standin import open_crepe, provide_torchaudio
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

FILE_RATE = 44100  # what aubio's and essentia's defaults are made for


class RtMelody(LivePeer):
    distribution = "rt-melody"
    modules = ("rt_melody.realtime.melody",)
    gives_notes = True
    core_s_per_s = 0.09

    def __init__(self, bound_ms: float, model: str | None = None):
        self.name, self.bound_ms, self.model = f"rt-melody {bound_ms:g} ms", bound_ms, model
        self.settings = f"latency bound {bound_ms:g} ms"

    def open(self) -> None:
        from rt_melody.benchmarks.trackers import melody_tracker

        self._tracker = melody_tracker(self.sample_rate, self.model, latency_ms=self.bound_ms)
        self.hop_samples = round(self._tracker.hop_s * self.sample_rate)
        self._tracker.warm_up()

    def start(self) -> None:
        self._tracker.reset()

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        for heard in self._tracker.feed(block):
            yield (heard.time_s, heard.f0_hz, heard.voiced) if isinstance(heard, PitchFrame) else heard

    def finish(self, end_s: float) -> Iterable[Word]:
        return [heard for heard in self._tracker.finish() if not isinstance(heard, PitchFrame)]


class AubioPitch(LivePeer):
    distribution, modules = "aubio", ("aubio",)
    sample_rate = FILE_RATE
    core_s_per_s = 0.01

    def __init__(self, method: str, hop_samples: int, centre: float, tolerance: float, threshold: float):
        """``centre``: of the buffer of 2048, from its beginning, in 0..1. ``threshold``: of its confidence.

        yinfft says 0 Hz where it finds no pitch within its tolerance; yinfast always finds one.
        """
        self.name, self.method, self.hop_samples = f"aubio {method}", method, hop_samples
        self.tolerance, self.threshold = tolerance, threshold
        self._behind_s = (1.0 - centre) * 2048 / self.sample_rate
        self.settings = (
            f"2048/{hop_samples} at 44.1 kHz, tolerance {tolerance:g}, voiced where pitch > 0"
            + (f" and confidence > {threshold:g}" if threshold > 0 else "") + " (validation)"
        )

    def open(self) -> None:
        import aubio

        self._make = lambda: aubio.pitch(self.method, 2048, self.hop_samples, self.sample_rate)

    def start(self) -> None:
        self._pitch, self._taken = self._make(), 0
        self._pitch.set_unit("Hz")
        self._pitch.set_tolerance(self.tolerance)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        f0_hz = float(self._pitch(block)[0])
        self._taken += len(block)
        sung = F0_MIN_HZ <= f0_hz <= F0_MAX_HZ
        sure = self.threshold <= 0.0 or self._pitch.get_confidence() > self.threshold
        yield self._taken / self.sample_rate - self._behind_s, f0_hz if sung else 0.0, sung and sure


class AubioNotes(LivePeer):
    name, distribution, modules = "aubio notes", "aubio", ("aubio",)
    sample_rate, hop_samples = FILE_RATE, 256
    gives_f0, gives_notes = False, True
    settings = "2048/256 at 44.1 kHz, defaults of aubionotes"
    core_s_per_s = 0.01

    def open(self) -> None:
        import aubio

        self._make = lambda: aubio.notes("default", 2048, self.hop_samples, self.sample_rate)

    def start(self) -> None:
        self._notes, self._taken, self._sounding = self._make(), 0, 0

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        on, velocity, off = (int(v) for v in self._notes(block))
        self._taken += len(block)
        now_s = self._taken / self.sample_rate
        if self._sounding and (on or off > 0):
            yield from self.finish(now_s)
        if on:
            self._sounding = on
            yield NoteOn(now_s, now_s, on, max(1, min(127, velocity)), float(on))

    def finish(self, end_s: float) -> Iterable[Word]:
        if self._sounding:
            yield NoteOff(end_s, end_s, self._sounding)
        self._sounding = 0


class EssentiaYin(LivePeer):
    name, distribution, modules = "essentia PitchYinFFT", "essentia", ("essentia.standard",)
    sample_rate, hop_samples, size = FILE_RATE, 256, 2048
    threshold = 0.6
    settings = f"2048/256 at 44.1 kHz, voiced where confidence > {threshold:g} (validation)"
    core_s_per_s = 0.01

    def open(self) -> None:
        import essentia
        import essentia.standard as es

        essentia.log.infoActive = False
        self._window, self._spectrum = es.Windowing(type="hann", size=self.size), es.Spectrum(size=self.size)
        self._yin = es.PitchYinFFT(
            frameSize=self.size, sampleRate=self.sample_rate, minFrequency=F0_MIN_HZ, maxFrequency=F0_MAX_HZ
        )

    def start(self) -> None:
        self._heard = Window(self.size)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        f0_hz, confidence = self._yin(self._spectrum(self._window(self._heard.push(block))))
        yield (self._heard.taken - self.size // 2) / self.sample_rate, f0_hz, confidence > self.threshold


class PraatLive(LivePeer):
    """Praat holds for silent what is below a share of the loudest of a recording; here, of the loudest heard so far."""

    name, distribution, modules = "Praat live", "praat-parselmouth", ("parselmouth",)
    size, silence, threshold = 1600, 0.03, 0.8
    settings = (
        f"last frame of to_pitch_ac over the newest 100 ms, {F0_MIN_HZ:g}-{F0_MAX_HZ:g} Hz, voicing threshold {threshold:g}"
        f" (validation), silence threshold {silence:g} of the loudest so far"
    )
    core_s_per_s = 0.06

    def open(self) -> None:
        import parselmouth

        self._sound = parselmouth.Sound

    def start(self) -> None:
        self._heard, self._loudest = Window(self.size), 0.0

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        newest = self._heard.push(block)
        peak = float(np.abs(newest[-self.size // 2 :]).max())
        self._loudest = max(self._loudest, peak)
        sound = self._sound(newest.astype(np.float64), self.sample_rate)
        pitch = sound.to_pitch_ac(
            time_step=self.hop_s, pitch_floor=F0_MIN_HZ, pitch_ceiling=F0_MAX_HZ, voicing_threshold=self.threshold
        )
        start_s = (self._heard.taken - self.size) / self.sample_rate
        f0_hz = float(pitch.selected_array["frequency"][-1])
        yield start_s + float(pitch.xs()[-1]), f0_hz, f0_hz > 0 and peak > self.silence * self._loudest


class SwiftStream(LivePeer):
    name, distribution, modules = "SwiftF0 stream", "swift-f0", ("swift_f0",)
    hop_samples = 256
    settings = "PitchStream, one thread, voiced where confidence >= 0.5"
    core_s_per_s = 0.14

    def open(self) -> None:
        import swift_f0

        self._detector = swift_f0.SwiftF0(threads=1)

    def start(self) -> None:
        self._stream = self._detector.stream(F0_MIN_HZ, F0_MAX_HZ)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        told = self._stream.push(block, self.sample_rate)
        yield from zip(told.timestamps.tolist(), told.pitch_hz.tolist(), (told.confidence >= 0.5).tolist())


class SwiftEdge(LivePeer):
    """A frame of SwiftF0 is final after ten later ones; the third from the edge is nearly as good."""

    name, distribution, modules = "SwiftF0 edge", "swift-f0", ("swift_f0",)
    hop_samples, frames, back = 256, 18, 3
    settings = "third frame from the edge of the newest 288 ms, voiced where confidence >= 0.5"
    core_s_per_s = 0.12

    def open(self) -> None:
        import swift_f0

        self._detector = swift_f0.SwiftF0(threads=1)

    def start(self) -> None:
        self._heard = Window(self.frames * self.hop_samples)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        told = self._detector.detect(self._heard.push(block), self.sample_rate, F0_MIN_HZ, F0_MAX_HZ)
        time_s = (self._heard.taken - self.back * self.hop_samples) / self.sample_rate
        yield time_s, float(told.pitch_hz[-self.back]), bool(told.confidence[-self.back] >= 0.5)


class PestoStream(LivePeer):
    distribution, modules = "pesto-pitch", ("torch", "pesto")
    core_s_per_s = 0.25
    threshold = 0.5

    def __init__(self, mirror: float):
        self.name, self.mirror = f"PESTO stream, mirror {mirror:g}", mirror
        self.settings = f"mir-1k_g7, 10 ms steps, mirror {mirror:g}, voiced where confidence > {self.threshold:g}"

    def open(self) -> None:
        provide_torchaudio()
        import torch
        from pesto import load_model

        torch.set_num_threads(1)
        self._torch = torch
        self._make = lambda: load_model(
            "mir-1k_g7", 1000.0 * self.hop_s, self.sample_rate, streaming=True, max_batch_size=1, mirror=self.mirror
        )
        self._model = self._make()
        width = max(cqt.kernel_width for cqt in self._model.preprocessor.hcqt_kernels.cqt_kernels)
        ahead = int(self.mirror * (width - self.hop_samples) / 2)  # samples made up beyond the newest
        self._behind_s = (width / 2 - ahead) / self.sample_rate

    def start(self) -> None:
        self._taken = 0
        for module in self._model.modules():
            if hasattr(module, "init_cache"):
                module.init_cache()

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        with self._torch.inference_mode():
            f0_hz, confidence, _ = self._model(self._torch.from_numpy(block)[None], convert_to_freq=True, return_activations=False)
        self._taken += len(block)
        yield self._taken / self.sample_rate - self._behind_s, float(f0_hz.squeeze()), float(confidence.squeeze()) > self.threshold


class CrepeLive(LivePeer):
    name, distribution, modules = "CREPE tiny live", "torchcrepe", ("torch", "torchcrepe")
    size = 1024
    threshold = 0.4
    settings = f"the newest 1024 samples, weighted argmax, voiced where periodicity > {threshold:g} (validation)"
    core_s_per_s = 0.35

    def open(self) -> None:
        self._torch, self._crepe = open_crepe()

    def start(self) -> None:
        self._heard = Window(self.size)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        with self._torch.inference_mode():
            f0_hz, periodicity = self._crepe.predict(
                self._torch.from_numpy(self._heard.push(block).copy())[None], self.sample_rate, self.size, F0_MIN_HZ, F0_MAX_HZ,
                "tiny", self._crepe.decode.weighted_argmax, return_periodicity=True, pad=False,
            )
        time_s = (self._heard.taken - self.size // 2) / self.sample_rate
        yield time_s, float(f0_hz.squeeze()), float(periodicity.squeeze()) > self.threshold


class FcpeLive(LivePeer):
    """FCPE has no stream: its whole window is computed again for each hop, here of 20 ms to halve that."""

    name, distribution, modules = "FCPE live", "torchfcpe", ("torch", "torchfcpe")
    hop_samples, size, frame = 320, 8000, 160
    settings = "last frame of the newest 0.5 s every 20 ms, threshold 0.006"
    core_s_per_s = 1.6
    few = True

    def open(self) -> None:
        self._torch, self._model = open_fcpe()

    def start(self) -> None:
        self._heard = Window(self.size)

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        wave = self._torch.from_numpy(self._heard.push(block).copy())[None, :, None]
        last = self.size // self.frame - 1  # the model repeats it once more
        f0_hz = float(self._model.infer(wave, self.sample_rate, "local_argmax", 0.006)[0, last, 0])
        yield (self._heard.taken - self.frame) / self.sample_rate, f0_hz, f0_hz > 0


def open_fcpe():
    """torch and the bundled FCPE model, on one thread."""
    provide_torchaudio()
    import torch
    from torchfcpe import spawn_bundled_infer_model

    torch.set_num_threads(1)
    return torch, spawn_bundled_infer_model(device="cpu")
