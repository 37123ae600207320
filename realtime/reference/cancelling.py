"""The stage that takes a known band out of a microphone: hop in, hop out, both at the model's rate.

* **Delay.** The filter reaches 1.28 s back, so a band that is heard late is found by the filter itself; where its response
  begins late, the filter is moved there, and its whole length is left for the room.
* **Drift.** Two devices have two clocks. A filter that follows them turns: how far its response has moved since it was last
  looked at, and how much later than predicted the band is heard beside that, is the drift, whose mean is the rate at which
  the reference is read. Nothing is resampled until a drift is certain.
* **Trust.** So much of the predicted band is taken out as is found in the microphone (``kernels.canceller``): nothing of a
  silent, wrong or finished reference.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.canceller import BLOCK, MOST_BACK, SAMPLE_RATE, Canceller, turn_samples
from rt_melody.kernels.varispeed import HALF, fraction_table, read_behind

RING_SAMPLES = 1 << 16
LOOK_S = 0.25  # how often the learnt response is looked at
SAME_LOOKS = 4  # so often the same strongest partition: it is where the band begins
DOMINANT = 0.25  # of the response's power, in the partition where it begins
HEAD_BLOCKS = 1  # kept before the strongest partition
PULL, PUSH = 0.3, 2.0  # of the drift's loop: rate (samples a second) gained a second and sample of slip, and at once
SHARE, CAUGHT_SHARE = 0.2, 0.05  # of a look in the mean of the drift, at least; once it is caught
CERTAIN_LOOKS = 4  # after which a drift is believed
CAUGHT_SLIP, CAUGHT_S = 0.1, 0.5  # slip below which, for so long, it is caught
SETTLE_S = 0.3  # of trusted prediction, before the slip is believed
LARGEST_SLIP = 3.0  # samples; of more only the sign is known
LEAST_DRIFT_PPM = 30.0  # below it the filter follows by itself
MOST_DRIFT_PPM = 500.0
HARDLY_DB = 1.0  # of a band taken out: nothing was found of it
TRUSTED, GLIMPSED = 0.4, 0.05  # trust in the prediction to locate the band by it, to measure its slip


class BandCanceller:
    """Takes what is heard of a reference out of a microphone, hop by hop, with no delay of its own.

    Parameters
    ----------
    sample_rate : of both, Hz; 16000 alone.
    hop_samples : of a call, a whole part of 160.
    one_clock : microphone and reference count the same clock, as two tracks of one recording do: no drift is looked for.
    careful_after_s : see ``kernels.canceller.Canceller``.

    Raises ValueError for another rate or hop.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, hop_samples: int = 160, one_clock: bool = False, careful_after_s: float = np.inf):
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"sample rate {sample_rate} Hz: the canceller works at {SAMPLE_RATE} Hz")
        self._what = "band" if np.isinf(careful_after_s) else "instrument"
        self._filter, self._one_clock = Canceller(hop_samples, careful_after_s=careful_after_s), one_clock
        self.sample_rate, self.hop_samples, self.hop_s = sample_rate, hop_samples, hop_samples / sample_rate
        self._table, self._ring = fraction_table(), np.zeros(RING_SAMPLES, np.float32)
        self._read = np.zeros(hop_samples, np.float32)
        self._look_hops = round(LOOK_S / self.hop_s)
        self._ended, self._hops = "", 0
        self.reset()

    def reset(self) -> None:
        """Forget the path, the delay and the drift; ``line`` tells of them until the next hop."""
        if self._hops:
            self._ended = self.line()
        self._filter.reset()
        self._ring[:] = 0.0
        self._written = self._hops = self._looks = 0
        self._strongest, self._located = -1, False
        self._before: tuple[np.ndarray, tuple[int, int], float] | None = None  # the response as it was looked at last
        self._drift_looks = 0
        self._behind = 0.0  # samples by which the reference is read late, beside the filter
        self._rate, self._pace, self._drifting = 0.0, 0.0, False  # samples a second
        self._settled_s = self._steady_s = 0.0
        self._caught, self._restarts = False, 0

    def jump(self) -> None:
        """Sound was left out: what was learnt of the room and the clocks is kept."""
        self._filter.jump()
        self._ring[:] = 0.0
        self._before = None

    def learn_anew(self) -> None:
        """What the path is learnt by is played again: it may have become another, and shorter."""
        self._located, self._looks, self._before = False, 0, None
        self._filter.stand_back(0)
        self._filter.learn_anew()

    # ---- a hop ---------------------------------------------------------------------------------

    def process(self, microphone: np.ndarray, reference: np.ndarray, out: np.ndarray) -> None:
        """Write the microphone without the band to ``out``; all float32, contiguous, ``[shape=(hop_samples,)]``."""
        start, hop = self._written % RING_SAMPLES, self.hop_samples
        first = min(hop, RING_SAMPLES - start)
        self._ring[start : start + first] = reference[:first]
        self._ring[: hop - first] = reference[first:]
        self._written += hop
        if self._drifting or self._behind:
            before, self._behind = self._behind, max(self._behind + self._pace * self.hop_s, float(HALF * self._drifting))
            read_behind(self._ring, self._written, before, self._behind, self._table, self._read)
            reference = self._read
        self._filter.process(microphone, reference, out)
        self._hops += 1
        if not self._one_clock:
            self._follow_drift()
        if self._hops % self._look_hops == 0:
            self._look()

    def _look(self) -> None:
        if self._restarts != self._filter.restarts:
            self._begin_again()
        if self._drifting and self._behind <= HALF:
            self._make_room()
        if not self._located:
            self._look_for_the_beginning()
        if not self._one_clock:
            self._measure_drift()

    def _begin_again(self) -> None:
        """The filter has lost the path: another may be shorter, and what was taken for a drift may have been the loss of it."""
        self._restarts, self._located, self._looks, self._before = self._filter.restarts, False, 0, None
        self._filter.stand_back(0)
        self._drifting &= self._caught
        if not self._drifting:
            self._rate, self._drift_looks = 0.0, 0
        self._behind = float(HALF * self._drifting)

    def _look_for_the_beginning(self) -> None:
        """Where the learnt response begins, once it has been seen there several times: the filter moves there."""
        powers = self._filter.block_powers()
        strongest = int(powers.argmax())
        found = powers[strongest] > DOMINANT * powers.sum() and self._filter.trust > TRUSTED
        self._looks = self._looks + 1 if found and strongest == self._strongest else 0
        self._strongest = strongest
        if self._looks >= SAME_LOOKS:
            self._located = True
            if strongest > HEAD_BLOCKS:
                self._filter.stand_back(min(MOST_BACK, strongest - HEAD_BLOCKS))

    def _measure_drift(self) -> None:
        """The rate, from where the band stood a look ago and where it stands now."""
        before, self._before = self._before, None
        if self._settled_s < SETTLE_S:
            return
        f = self._filter
        self._before = f.response_spectrum(), (f.back_blocks, f.restarts), f.slip_samples + self._behind
        if before is None or before[1] != self._before[1]:
            return
        moved = turn_samples(before[0], self._before[0]) + self._before[2] - before[2]
        self._drift_looks += 1
        share = max(CAUGHT_SHARE if self._caught else SHARE, 1.0 / self._drift_looks)
        self._set_rate((1.0 - share) * self._rate + share * moved / LOOK_S)

    def _set_rate(self, rate: float) -> None:
        most = MOST_DRIFT_PPM * 1e-6 * self.sample_rate
        self._rate = min(most, max(-most, rate))

    def _follow_drift(self) -> None:
        slip, sure = min(LARGEST_SLIP, max(-LARGEST_SLIP, self._filter.slip_samples)), self._filter.trust > GLIMPSED
        self._settled_s = self._settled_s + self.hop_s if sure else 0.0
        self._pace = self._rate * self._drifting
        if self._settled_s < SETTLE_S:
            return
        self._set_rate(self._rate + PULL * slip * self.hop_s)
        certain = self._drift_looks >= CERTAIN_LOOKS and abs(self._rate) > LEAST_DRIFT_PPM * 1e-6 * self.sample_rate
        if certain and not self._drifting:
            self._drifting = True
            self._make_room()
        self._pace = (self._rate + PUSH * slip) * self._drifting
        self._notice_caught(slip)

    def _notice_caught(self, slip: float) -> None:
        """What was learnt while the clocks ran apart is blurred: the filter may learn fast again."""
        self._steady_s = self._steady_s + self.hop_s if self._drifting and abs(slip) < CAUGHT_SLIP else 0.0
        if not self._caught and self._steady_s > CAUGHT_S:
            self._caught = True
            self._filter.loosen()

    def _make_room(self) -> None:
        """Fractions of a sample need newer ones: where the reference is read too near its end, as much of its delay as there is
        is waited for before the filter instead of in it; where there is none, the drift cannot be followed."""
        blocks = self._filter.back_blocks or max(0, int(self._filter.block_powers().argmax()) - HEAD_BLOCKS)
        self._before = None
        self._filter.stand_back(0, blocks)
        self._behind = max(self._behind + BLOCK * blocks, float(HALF))

    # ---- what is told --------------------------------------------------------------------------

    @property
    def delay_ms(self) -> float | None:
        """From the reference to the strongest sound of it in the microphone; None before that is known."""
        if not self._located:
            return None
        return 1000.0 * (float(np.abs(self._filter.response()).argmax()) + self._behind) / self.sample_rate

    @property
    def drift_ppm(self) -> float:
        """How much slower the reference is read than it comes; 0 until it is certain that clocks differ."""
        return 1e6 * self._rate / self.sample_rate if self._drifting else 0.0

    @property
    def trust(self) -> float:
        """How much of the predicted band is taken out, 0..1: what is surely found of it."""
        return self._filter.trust

    @property
    def taken_db(self) -> float:
        """How far the microphone stands above what is left of it, over the last second."""
        return self._filter.taken_db

    @property
    def removed_db(self) -> float:
        """How far the band is thought to stand above what is left of it, over the last second."""
        return self._filter.removed_db

    @property
    def over_voice_db(self) -> float:
        """How far the band is thought to stand above the voice, over the last second; far below where nothing of it is heard."""
        return self._filter.over_voice_db

    def figures(self) -> dict[str, float | None]:
        """As it is now, for a machine to read: dB, ms, parts per million."""
        told = {"over_voice_db": self.over_voice_db, "removed_db": self.removed_db, "drift_ppm": self.drift_ppm}
        delay_ms = self.delay_ms
        return {**{name: round(value, 1) for name, value in told.items()}, "delay_ms": None if delay_ms is None else round(delay_ms, 1)}

    def brief(self) -> str:
        """As it is now, in a few characters: how far the band stands over the voice, and how much of it is taken out."""
        if self.removed_db < HARDLY_DB:
            return "band not found" if self._what == "band" else ""
        return f"{self._what} {self.over_voice_db:+.0f} dB, {self.removed_db:.0f} dB out"

    def line(self) -> str:
        """How loud the band stood in the microphone and how much of it was taken out, so far or until the reset, in one clause."""
        if not self._hops and self._ended:
            return self._ended
        over_db, removed_db = self._filter.over_voice_of_all_db, self._filter.removed_of_all_db
        if removed_db < HARDLY_DB:
            return f"nothing of the {self._what} was found in the microphone"
        where = f"{abs(over_db):.0f} dB {'over' if over_db > 0 else 'below'} the voice"
        late = f", {self.delay_ms:.0f} ms late" if self.delay_ms is not None else ""
        drift = f", its clock off by {self.drift_ppm:+.0f} ppm" if self.drift_ppm else ""
        return f"the {self._what} stood {where}{late}{drift}, and {removed_db:.0f} dB of it were taken out"
