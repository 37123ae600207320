"""An adaptive filter that takes a known sound out of a microphone: partitioned-block frequency-domain Kalman filter.

The path from the reference to the microphone is a finite impulse response of PARTITIONS blocks of BLOCK samples, each a
spectrum of FFT points. The spectra are the state of a Markov model whose covariance is diagonal, so that every bin of every
block has a step size of its own, small where the singer is loud: nobody has to detect double talk. Spectra of the reference are
those of overlap-save and come every hop, so a hop is filtered as soon as it is full, and nothing waits. All partitions learn
from each LEARNT samples; as long as the path is new also once more from those a partition earlier, in which there is more than a
filter whose covariance is diagonal learns at once. What the first group learns is cut to a block at once, the others' responses
are in turn, a group every other time.

G. Enzner and P. Vary, Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free telephones, Signal
Processing 86 (2006). F. Kuech, E. Mabande and G. Enzner, State-space architecture of the partitioned-block-based acoustic echo
controller, ICASSP 2014.

Arrays are [bin, partition], partitions side by side in memory, so that the transforms of COLUMNS pairs of partitions run as one.
A transform of ROWS * TURNED points is ROWS-point transforms down the rows, a turn with twiddle factors, TURNED-point transforms
down the rows; it leaves the places in an order of its own, which the mirrored transform takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rt_melody.kernels.compiled import compiled
from rt_melody.kernels.compiled import part as made_of

SAMPLE_RATE = 16000
BLOCK = 320  # samples of a partition
LEARNT = 160  # samples from which the filter learns at once; it filters hops of a whole part of them
LEARNT_S = LEARNT / SAMPLE_RATE
COLUMNS = 8
GROUP = 2 * COLUMNS  # partitions that are cut to a block together
GROUPS = 4
PARTITIONS = GROUPS * GROUP  # 1.28 s at 16 kHz
ROWS, TURNED = 16, 32
FFT = ROWS * TURNED
BINS = FFT // 2 + 1
PORTION = np.float32(LEARNT / FFT)  # of a window of the transform, that is learnt from
LATE_BINS = 128  # up to 4 kHz: all that the groups after the first know of, what is above dies away sooner
MOST_BACK = 32  # partitions by which the filter can stand back
HELD = PARTITIONS + MOST_BACK + 1  # of spectra of the reference, with one for the hop that is learnt from again
SLIP_BINS = (4, 64)  # 125 Hz to 2 kHz, where some samples of delay turn the phase by less than half a circle
FAST = ("reassoc", "contract", "nsz", "arcp")  # sums over partitions in whatever order is quickest
LINE, PLANE, CUBE, RING = (f"float32[{':, ' * n}::1]" for n in range(4))
WHOLE = "int64[::1]"


# ---- what the filter knows of itself --------------------------------------------------------------
# ``levels``, by the names below.

(
    MICROPHONE, REFERENCE, SCALE, SHARED, ECHO, TRUST, HEARD, RESTARTS, DOUBTED, SLIP,
    BEFORE, TAKEN, LEFT, AFTER,  # of the last second
    ALL_TAKEN, ALL_LEFT, ALL_AFTER,  # of all but the first seconds
    LIKE, LIKE_HOPS,
    CAREFUL_AFTER, SINCE,  # seconds from the reference's first sound on, after which all is learnt carefully; and those gone by
    FAULT,  # of what is left, the part that is the filter's own fault
    FOUND, SOUGHT, NOW, USUAL,  # how much of what was predicted was found, by the newest hops, of late and usually
    NEW_FOR,  # seconds of sounding reference for which the path still counts as new
    JOINED,  # how often was learnt since the last gap
    GUESSED, KNOWN, UNFOUND,  # since the path began: seconds of sounding reference, whether it was found, seconds without a trace of it
    PART,  # of what is predicted, that is taken out
) = range(32)
LEVELS = 32
SURER = np.float32(2.0)  # than it may be is a filter whose covariance is diagonal: power of its fault over what it thinks
NEW_S = 8.0  # of sounding reference in which a path is learnt from everything twice
FORGET_S, TRUST_S, TOLD_S, SLIP_S = 1.0, 0.2, 1.0, 0.5  # time constants: of powers, of the trust, of what is told, of the slip
STAYS = float(np.exp(-LEARNT_S / SLIP_S))  # of slip and likeness, from one time of learning to the next
FOUND_S, NOW_S, USUAL_S = 0.1, 0.1, 2.0  # time constants: of what is found, of that of late, of that usually
QUIET = 1e-6  # power of a sample (-60 dBFS) below which the reference tells nothing
SILENT = 1e-10  # power of a sample below which nothing is learnt: a microphone that is muted has no path
MUCH = 4.0  # over the ratio of microphone and reference: too large a first guess
FIRST_S = 2.0  # of reference heard, in which the first guess of the path's power may grow
UNFOUND_S, THEN_S = 3.0, 1.0  # of it without a trace of the path, after which, and how often then, it is thought uncertain again
UNCERTAIN, UNCERTAIN_AGAIN, LOOSE = 3.0, 1.0, 0.3  # covariance over the first guess: at the start, of a path anew, of a blurred one
CHANCE, SURE = 0.35, 0.75  # regression up to which nothing, from which all of the echo is taken out
LIKE_LEAST = 10.0  # times of learning, after which a likeness is worth something
UNLIKE, ALIKE = 0.15, 0.35  # likeness up to which nothing, from which all of the echo is taken out
CAREFUL, CAREFUL_TRUST_S = 100.0, 1.0  # over the singer's power, which is then thought so large; and the time constant of the trust
GOOD, LOST, LOST_S = 0.45, 0.5, 0.3  # found usually where a path is known; of that, what is found where it is lost; for so long
SAME_LOUDSPEAKER = 0.7  # of what is guessed of a new path, the part that has the colour of the last


# ---- transforms --------------------------------------------------------------------------------


# Two of the usual stages at a time, so that memory is gone through half as often. How many lie side by side, and how far apart
# what meets is, are constants, without which the compiler has to look each time whether places overlap.

_part = made_of(fastmath=FAST)


def _twice_down(quarter: int, rows: int, width: int) -> Any:
    """Two stages of decimation in frequency, of halves of 2 * ``quarter`` and ``quarter`` rows."""
    apart = quarter * width

    @_part
    def stages(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        for start in range(0, rows, 4 * quarter):
            for j in range(quarter):
                c1, s1, c2, s2 = cos[2 * quarter + j], sin[2 * quarter + j], cos[quarter + j], sin[quarter + j]
                c3, s3 = c1 * c2 - s1 * s2, c1 * s2 + s1 * c2
                for i in range((start + j) * width, (start + j + 1) * width):
                    ra, rb, rc, rd = re[i], re[i + apart], re[i + 2 * apart], re[i + 3 * apart]
                    ia, ib, ic, id = im[i], im[i + apart], im[i + 2 * apart], im[i + 3 * apart]
                    rp, ip, rm, im_ = ra + rc, ia + ic, ra - rc, ia - ic
                    rq, iq, rn, in_ = rb + rd, ib + id, rb - rd, ib - id
                    re[i], im[i] = rp + rq, ip + iq
                    rx, ix, ry, iy, rz, iz = rp - rq, ip - iq, rm + in_, im_ - rn, rm - in_, im_ + rn
                    re[i + apart], im[i + apart] = rx * c2 - ix * s2, rx * s2 + ix * c2
                    re[i + 2 * apart], im[i + 2 * apart] = ry * c1 - iy * s1, ry * s1 + iy * c1
                    re[i + 3 * apart], im[i + 3 * apart] = rz * c3 - iz * s3, rz * s3 + iz * c3

    return stages


def _twice_up(quarter: int, rows: int, width: int) -> Any:
    """Two stages of decimation in time, of halves of ``quarter`` and 2 * ``quarter`` rows."""
    apart = quarter * width

    @_part
    def stages(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        for start in range(0, rows, 4 * quarter):
            for j in range(quarter):
                c1, s1, c2, s2 = cos[2 * quarter + j], sin[2 * quarter + j], cos[quarter + j], sin[quarter + j]
                c3, s3 = c1 * c2 - s1 * s2, c1 * s2 + s1 * c2
                for i in range((start + j) * width, (start + j + 1) * width):
                    ra, ia = re[i], im[i]
                    rb, ib = re[i + apart] * c2 - im[i + apart] * s2, re[i + apart] * s2 + im[i + apart] * c2
                    rc, ic = re[i + 2 * apart] * c1 - im[i + 2 * apart] * s1, re[i + 2 * apart] * s1 + im[i + 2 * apart] * c1
                    rd, id = re[i + 3 * apart] * c3 - im[i + 3 * apart] * s3, re[i + 3 * apart] * s3 + im[i + 3 * apart] * c3
                    rp, ip, rm, im_ = ra + rb, ia + ib, ra - rb, ia - ib
                    rq, iq, rn, in_ = rc + rd, ic + id, rc - rd, ic - id
                    re[i], im[i] = rp + rq, ip + iq
                    re[i + apart], im[i + apart] = rm + in_, im_ - rn
                    re[i + 2 * apart], im[i + 2 * apart] = rp - rq, ip - iq
                    re[i + 3 * apart], im[i + 3 * apart] = rm - in_, im_ + rn

    return stages


def _once(rows: int, width: int, down: bool) -> Any:
    """The stage of halves of all the rows: the first of decimation in frequency (``down``), the last of that in time."""
    half, apart = rows // 2, rows // 2 * width

    @_part
    def stage(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        for j in range(half):
            c, s = cos[half + j], sin[half + j]
            for i in range(j * width, (j + 1) * width):
                ra, ia, rb, ib = re[i], im[i], re[i + apart], im[i + apart]
                if down:
                    re[i], im[i] = ra + rb, ia + ib
                    re[i + apart], im[i + apart] = (ra - rb) * c - (ia - ib) * s, (ra - rb) * s + (ia - ib) * c
                else:
                    rt, it = rb * c - ib * s, rb * s + ib * c
                    re[i], im[i], re[i + apart], im[i + apart] = ra + rt, ia + it, ra - rt, ia - it

    return stage


def _down_rows(rows: int, width: int) -> Any:
    """FFT in place down the rows of [rows, width] by decimation in frequency: natural order to bit-reversed."""
    once, first, second = _once(rows, width, True), _twice_down(4, rows, width), _twice_down(1, rows, width)

    @_part
    def down(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        if rows == TURNED:
            once(re, im, cos, sin)
        first(re, im, cos, sin)
        second(re, im, cos, sin)

    return down


def _up_rows(rows: int, width: int) -> Any:
    """FFT in place down the rows by decimation in time: bit-reversed order to natural."""
    first, second, once = _twice_up(1, rows, width), _twice_up(4, rows, width), _once(rows, width, False)

    @_part
    def up(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        first(re, im, cos, sin)
        second(re, im, cos, sin)
        if rows == TURNED:
            once(re, im, cos, sin)

    return up


def _turn(rows: int, columns: int, width: int) -> Any:
    """[rows, columns, width] to [columns, rows, width], each place times its twiddle factor [2, rows, columns]."""

    @_part
    def turn(re: np.ndarray, im: np.ndarray, to_re: np.ndarray, to_im: np.ndarray, twiddle: np.ndarray) -> None:
        for q in range(columns):
            for r in range(rows):
                c, s, a, b = twiddle[0, r, q], twiddle[1, r, q], (r * columns + q) * width, (q * rows + r) * width
                for i in range(width):
                    to_re[b + i] = re[a + i] * c - im[a + i] * s
                    to_im[b + i] = re[a + i] * s + im[a + i] * c

    return turn


# What is kept for the next start must refer to what it is made of by global names: numba would look for a closure's in vain, each time.
_down, _turned, _down_turned = _down_rows(ROWS, TURNED), _turn(ROWS, TURNED, 1), _down_rows(TURNED, ROWS)
_down_wide, _turned_wide = _down_rows(ROWS, TURNED * COLUMNS), _turn(ROWS, TURNED, COLUMNS)
_down_turned_wide = _down_rows(TURNED, ROWS * COLUMNS)
_up_wide, _turned_back_wide = _up_rows(TURNED, ROWS * COLUMNS), _turn(TURNED, ROWS, COLUMNS)
_up_turned_wide = _up_rows(ROWS, TURNED * COLUMNS)


@compiled(f"void({LINE}, {LINE}, {LINE}, {LINE}, {PLANE}, {CUBE})", FAST)
def transform(re: np.ndarray, im: np.ndarray, to_re: np.ndarray, to_im: np.ndarray, roots: np.ndarray, twiddle: np.ndarray) -> None:
    """FFT of [FFT], used up; from natural order to ``order_of_transform``.

    With real and imaginary part exchanged, going in and coming out, it is FFT times the inverse.
    """
    _down(re, im, roots[0], roots[1])
    _turned(re, im, to_re, to_im, twiddle)
    _down_turned(to_re, to_im, roots[0], roots[1])


@compiled(f"void({LINE}, {LINE}, {LINE}, {LINE}, {PLANE}, {CUBE})", FAST)
def transform_wide(re: np.ndarray, im: np.ndarray, to_re: np.ndarray, to_im: np.ndarray, roots: np.ndarray, twiddle: np.ndarray) -> None:
    """The same of each column of [FFT, COLUMNS]."""
    _down_wide(re, im, roots[0], roots[1])
    _turned_wide(re, im, to_re, to_im, twiddle)
    _down_turned_wide(to_re, to_im, roots[0], roots[1])


@compiled(f"void({LINE}, {LINE}, {LINE}, {LINE}, {PLANE}, {CUBE})", FAST)
def transform_wide_ordered(
    re: np.ndarray, im: np.ndarray, to_re: np.ndarray, to_im: np.ndarray, roots: np.ndarray, twiddle_back: np.ndarray
) -> None:
    """FFT of each column of [FFT, COLUMNS], used up; from ``order_of_transform`` to natural order."""
    _up_wide(re, im, roots[0], roots[1])
    _turned_back_wide(re, im, to_re, to_im, twiddle_back)
    _up_turned_wide(to_re, to_im, roots[0], roots[1])


def transform_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``roots`` [2, TURNED] and ``twiddle`` [2, ROWS, TURNED] (cosines, sines), and ``twiddle_back``, turned."""
    angles = np.concatenate([[0.0], *(-np.pi * np.arange(half) / half for half in 2 ** np.arange(TURNED.bit_length() - 1))])
    turned = -2.0 * np.pi / FFT * np.outer(_bit_reversed(ROWS), np.arange(TURNED))
    roots, twiddle = (np.stack([np.cos(a), np.sin(a)]).astype(np.float32) for a in (angles, turned))
    return roots, twiddle, np.ascontiguousarray(twiddle.transpose(0, 2, 1))


def order_of_transform() -> np.ndarray:
    """Which index of the natural order lies at each place [shape=(FFT,)]."""
    return (_bit_reversed(ROWS)[None, :] + ROWS * _bit_reversed(TURNED)[:, None]).ravel()


def _bit_reversed(count: int) -> np.ndarray:
    bits = count.bit_length() - 1
    return np.array([int(f"{i:0{bits}b}"[::-1], 2) for i in range(count)])


# ---- the filter --------------------------------------------------------------------------------
# ``ring`` [phases, 2, BINS, 2 * held]: spectra of the reference, real and imaginary part; those of hops that lie whole
# partitions apart stand side by side, the newer first, and each is there twice, so that any window is one piece.
# ``weights`` [2, BINS, PARTITIONS] the filter, ``spread`` [BINS, PARTITIONS] its covariance, ``near`` [BINS] the singer's power.


@compiled(f"void({PLANE}, {WHOLE}, {CUBE}, int64)")
def store(ordered: np.ndarray, place: np.ndarray, past: np.ndarray, at: int) -> None:
    """Put the spectrum of a real signal at ``at`` of a phase of the ring."""
    held = past.shape[2] // 2
    for part in range(2):
        for k in range(BINS):
            value = ordered[part, place[k]]
            past[part, k, at] = value
            past[part, k, at + held] = value


@compiled(f"void({CUBE}, int64, {CUBE}, {PLANE}, float32, {PLANE}, {LINE})", FAST)
def predict(
    past: np.ndarray,
    first: int,
    weights: np.ndarray,
    spread: np.ndarray,
    keep: np.float32,
    estimate: np.ndarray,
    unsure: np.ndarray,
) -> None:
    """The state a hop later, the spectrum of the echo that it predicts, and how far off that may be [BINS] (power).

    ``past`` [2, BINS, 2 * held] is a phase of the ring, ``first`` where its window begins.
    """
    for k in range(BINS):
        reach = PARTITIONS if k < LATE_BINS else GROUP
        xr, xi = past[0, k, first : first + reach], past[1, k, first : first + reach]
        wr, wi, p = weights[0, k, :reach], weights[1, k, :reach], spread[k, :reach]
        yr, yi, off = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for i in range(reach):
            p[i] = keep * p[i] + (np.float32(1.0) - keep) * (wr[i] * wr[i] + wi[i] * wi[i])
        for i in range(reach):
            yr += xr[i] * wr[i] - xi[i] * wi[i]
            yi += xr[i] * wi[i] + xi[i] * wr[i]
            off += p[i] * (xr[i] * xr[i] + xi[i] * xi[i])
        estimate[0, k], estimate[1, k], unsure[k] = yr, yi, off


@compiled(f"void({CUBE}, int64, {PLANE}, {LINE}, {PLANE}, {CUBE}, {CUBE})", FAST)
def learn(
    past: np.ndarray,
    first: int,
    error: np.ndarray,
    noise: np.ndarray,
    spread: np.ndarray,
    step: np.ndarray,
    weights: np.ndarray,
) -> None:
    """The Kalman gain times ``error`` [2, BINS] into the first group's ``step`` [2, BINS, GROUP], and added to the other weights;
    the covariance of all after it.

    ``noise`` [BINS]: expected power of ``error``.
    """
    late = first + GROUP
    for k in range(BINS):
        over = np.float32(1.0) / noise[k]
        er, ei, less = error[0, k] * over, error[1, k] * over, PORTION * over
        xr, xi, p, sr, si = past[0, k, first:late], past[1, k, first:late], spread[k, :GROUP], step[0, k], step[1, k]
        for i in range(GROUP):
            sr[i] = p[i] * (xr[i] * er + xi[i] * ei)
        for i in range(GROUP):
            si[i] = p[i] * (xr[i] * ei - xi[i] * er)
        for i in range(GROUP):
            p[i] -= less * p[i] * p[i] * (xr[i] * xr[i] + xi[i] * xi[i])
    for k in range(LATE_BINS):
        over = np.float32(1.0) / noise[k]
        er, ei, less = error[0, k] * over, error[1, k] * over, PORTION * over
        xr, xi, p = past[0, k, late : first + PARTITIONS], past[1, k, late : first + PARTITIONS], spread[k, GROUP:]
        wr, wi = weights[0, k, GROUP:], weights[1, k, GROUP:]
        for i in range(PARTITIONS - GROUP):
            wr[i] += p[i] * (xr[i] * er + xi[i] * ei)
        for i in range(PARTITIONS - GROUP):
            wi[i] += p[i] * (xr[i] * ei - xi[i] * er)
        for i in range(PARTITIONS - GROUP):
            p[i] -= less * p[i] * p[i] * (xr[i] * xr[i] + xi[i] * xi[i])


@compiled(f"void({CUBE}, int64, {LINE}, {LINE})", FAST)
def pack(weights: np.ndarray, group: int, re: np.ndarray, im: np.ndarray) -> None:
    """Pairs of a group's spectra of real signals, partition i with COLUMNS + i, as spectra of complex ones [FFT, COLUMNS]."""
    bins, begin, middle, end = BINS if group == 0 else LATE_BINS, group * GROUP, group * GROUP + COLUMNS, (group + 1) * GROUP
    re[bins * COLUMNS : (FFT - bins + 1) * COLUMNS] = np.float32(0.0)
    im[bins * COLUMNS : (FFT - bins + 1) * COLUMNS] = np.float32(0.0)
    for k in range(bins):
        ar, br, ai, bi = weights[0, k, begin:middle], weights[0, k, middle:end], weights[1, k, begin:middle], weights[1, k, middle:end]
        here, there = k * COLUMNS, ((FFT - k) % FFT) * COLUMNS
        tr, ti, hr, hi = re[there : there + COLUMNS], im[there : there + COLUMNS], re[here : here + COLUMNS], im[here : here + COLUMNS]
        for i in range(COLUMNS):
            tr[i] = ar[i] + bi[i]
        for i in range(COLUMNS):
            ti[i] = br[i] - ai[i]
        for i in range(COLUMNS):
            hr[i] = ar[i] - bi[i]
        for i in range(COLUMNS):
            hi[i] = ai[i] + br[i]


@compiled(f"void({LINE}, {LINE}, int64, {CUBE}, float32)", FAST)
def unpack(re: np.ndarray, im: np.ndarray, group: int, weights: np.ndarray, keep: np.float32) -> None:
    """Pairs of spectra, as ``pack`` makes them, over FFT, as the weights of a group, of which ``keep`` stays."""
    half, begin, middle, end = np.float32(0.5 / FFT), group * GROUP, group * GROUP + COLUMNS, (group + 1) * GROUP
    for k in range(BINS if group == 0 else LATE_BINS):
        here, there = k * COLUMNS, ((FFT - k) % FFT) * COLUMNS
        tr, ti, hr, hi = re[there : there + COLUMNS], im[there : there + COLUMNS], re[here : here + COLUMNS], im[here : here + COLUMNS]
        ar, br, ai, bi = weights[0, k, begin:middle], weights[0, k, middle:end], weights[1, k, begin:middle], weights[1, k, middle:end]
        for i in range(COLUMNS):
            ar[i] = keep * ar[i] + half * (hr[i] + tr[i])
        for i in range(COLUMNS):
            ai[i] = keep * ai[i] + half * (hi[i] - ti[i])
        for i in range(COLUMNS):
            br[i] = keep * br[i] + half * (hi[i] + ti[i])
        for i in range(COLUMNS):
            bi[i] = keep * bi[i] + half * (tr[i] - hr[i])


@compiled(f"void({CUBE}, {CUBE}, int64, {PLANE}, {PLANE}, {WHOLE}, {PLANE}, {CUBE}, {CUBE})", FAST)
def constrain(
    step: np.ndarray,
    weights: np.ndarray,
    group: int,
    natural: np.ndarray,
    ordered: np.ndarray,
    order: np.ndarray,
    roots: np.ndarray,
    twiddle: np.ndarray,
    twiddle_back: np.ndarray,
) -> None:
    """Leave of the weights of a group what is a response of BLOCK samples a partition; to those of the first add so much of
    ``step``."""
    pack(step if group == 0 else weights, group, natural[0], natural[1])
    transform_wide(natural[1], natural[0], ordered[1], ordered[0], roots, twiddle)
    for place in range(FFT):
        if order[place] >= BLOCK:
            ordered[0, place * COLUMNS : (place + 1) * COLUMNS] = np.float32(0.0)
            ordered[1, place * COLUMNS : (place + 1) * COLUMNS] = np.float32(0.0)
    transform_wide_ordered(ordered[0], ordered[1], natural[0], natural[1], roots, twiddle_back)
    unpack(natural[0], natural[1], group, weights, np.float32(1.0 if group == 0 else 0.0))


@compiled(f"void({PLANE}, {PLANE}, {PLANE}, {WHOLE}, {LINE}, {PLANE}, {CUBE})", FAST)
def newest_of(
    estimate: np.ndarray,
    natural: np.ndarray,
    ordered: np.ndarray,
    place: np.ndarray,
    out: np.ndarray,
    roots: np.ndarray,
    twiddle: np.ndarray,
) -> None:
    """The last ``len(out)`` samples of the signal [FFT] whose spectrum is ``estimate`` [2, BINS]."""
    for k in range(BINS):
        natural[0, k], natural[1, k] = estimate[0, k], estimate[1, k]
        natural[0, (FFT - k) % FFT], natural[1, (FFT - k) % FFT] = estimate[0, k], -estimate[1, k]
    natural[1, 0] = natural[1, FFT // 2] = np.float32(0.0)
    transform(natural[1], natural[0], ordered[1], ordered[0], roots, twiddle)
    for i in range(out.shape[0]):
        out[i] = ordered[0, place[FFT - out.shape[0] + i]] / np.float32(FFT)


@compiled(f"void({LINE}, {LINE}, {PLANE}, {PLANE}, {WHOLE}, {PLANE}, {PLANE}, {PLANE}, {CUBE})", FAST)
def spectra_of_two(
    first: np.ndarray,
    second: np.ndarray,
    natural: np.ndarray,
    ordered: np.ndarray,
    place: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    roots: np.ndarray,
    twiddle: np.ndarray,
) -> None:
    """Spectra [2, BINS] of two hops, each at the end of a window of zeros, by one transform."""
    quiet = FFT - first.shape[0]
    natural[0, :quiet] = np.float32(0.0)
    natural[1, :quiet] = np.float32(0.0)
    natural[0, quiet:] = first
    natural[1, quiet:] = second
    half = np.float32(0.5)
    transform(natural[0], natural[1], ordered[0], ordered[1], roots, twiddle)
    for k in range(BINS):
        a, b = place[k], place[(FFT - k) % FFT]
        one[0, k], one[1, k] = half * (ordered[0, a] + ordered[0, b]), half * (ordered[1, a] - ordered[1, b])
        other[0, k], other[1, k] = half * (ordered[1, a] + ordered[1, b]), half * (ordered[0, b] - ordered[0, a])


@compiled(f"float64({PLANE}, {PLANE}, {PLANE})", FAST)
def slip_samples(heard: np.ndarray, error: np.ndarray, shared: np.ndarray) -> float:
    """How many samples later than predicted the echo is heard, of late: the slope of the phase of the mean cross spectrum
    ``shared`` [2, BINS] of what was heard and what was predicted, where that is linear enough (SLIP_BINS)."""
    keep = np.float32(STAYS)
    above, below = np.float32(0.0), np.float32(1e-9)
    for k in range(SLIP_BINS[0], SLIP_BINS[1]):
        mr, mi = heard[0, k], heard[1, k]
        yr, yi = mr - error[0, k], mi - error[1, k]
        white = np.float32(1.0) / (mr * mr + mi * mi + yr * yr + yi * yi + np.float32(1e-9))
        shared[0, k] = keep * shared[0, k] + white * (mr * yr + mi * yi)
        shared[1, k] = keep * shared[1, k] + white * (mi * yr - mr * yi)
        omega = np.float32(2.0 * np.pi / FFT * k)
        above -= omega * shared[1, k]
        below += omega * omega * max(np.float32(0.0), shared[0, k])
    return np.float64(above / below)


@compiled(f"float64({PLANE}, {PLANE})", FAST)
def likeness(heard: np.ndarray, error: np.ndarray) -> float:
    """How like what was predicted is to what was heard, at most 1: the mean over SLIP_BINS, each of which counts the same.

    In tones that two songs happen to share a wrong prediction comes true, but not all over the spectrum.
    """
    total = np.float32(0.0)
    for k in range(SLIP_BINS[0], SLIP_BINS[1]):
        mr, mi = heard[0, k], heard[1, k]
        yr, yi = mr - error[0, k], mi - error[1, k]
        total += (mr * yr + mi * yi) / (mr * mr + mi * mi + yr * yr + yi * yi + np.float32(1e-9))
    return np.float64(2.0 * total / (SLIP_BINS[1] - SLIP_BINS[0]))


# ---- one hop -----------------------------------------------------------------------------------


@compiled(f"float64({LINE}, {LINE})", FAST)
def product(a: np.ndarray, b: np.ndarray) -> float:
    total = np.float32(0.0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return np.float64(total)


@compiled(f"void(float64[::1], {CUBE})")
def forget(levels: np.ndarray, weights: np.ndarray) -> None:
    """Of a path all but how uncertain it is."""
    levels[DOUBTED] = levels[USUAL] = levels[SHARED] = levels[ECHO] = levels[LIKE] = levels[LIKE_HOPS] = 0.0
    levels[GUESSED] = levels[KNOWN] = levels[UNFOUND] = 0.0
    levels[NEW_FOR] = NEW_S
    levels[RESTARTS] += 1.0
    weights[:] = np.float32(0.0)


@compiled(f"void({LINE}, {LINE}, float64[::1], {CUBE}, {PLANE}, {LINE}, float64)")
def guess_power(
    microphone: np.ndarray,
    reference: np.ndarray,
    levels: np.ndarray,
    weights: np.ndarray,
    spread: np.ndarray,
    prior: np.ndarray,
    hop_s: float,
) -> None:
    """Of a hop in which the reference sounds. While little has been heard of a path: the covariance from microphone over reference,
    as it grows.

    Where that was far too large, of a band that fades in under a singer, and nothing was found yet: another beginning. Where there
    is no trace of the path for long (the loudspeaker is turned up late): as much as there may be.
    """
    heard = product(reference, reference)
    keep = np.exp(-hop_s / FORGET_S)
    levels[MICROPHONE] = keep * levels[MICROPHONE] + product(microphone, microphone)
    levels[REFERENCE] = keep * levels[REFERENCE] + heard
    levels[HEARD] += hop_s
    levels[GUESSED] += hop_s
    ratio = levels[MICROPHONE] / levels[REFERENCE]
    if levels[SINCE] > levels[CAREFUL_AFTER]:
        return
    if levels[LIKE] > ALIKE * levels[LIKE_HOPS] and levels[LIKE_HOPS] > LIKE_LEAST:
        levels[KNOWN] = 1.0
    levels[UNFOUND] = levels[UNFOUND] + hop_s if levels[LIKE] < UNLIKE * levels[LIKE_HOPS] else 0.0
    far_less = MUCH * ratio < levels[SCALE] and levels[KNOWN] == 0.0
    if levels[SCALE] == 0.0 or far_less:
        if far_less:
            forget(levels, weights)
        levels[SCALE] = ratio
        for k in range(BINS):
            for i in range(PARTITIONS):
                spread[k, i] = UNCERTAIN * ratio * prior[i]
    elif levels[UNFOUND] > UNFOUND_S:
        levels[UNFOUND], levels[SCALE] = UNFOUND_S - THEN_S, max(levels[SCALE], ratio)
        for k in range(BINS):
            for i in range(PARTITIONS):
                spread[k, i] = max(spread[k, i], np.float32(UNCERTAIN_AGAIN * ratio) * prior[i])
    elif levels[GUESSED] <= FIRST_S and ratio > levels[SCALE]:
        for k in range(BINS):
            for i in range(PARTITIONS):
                spread[k, i] *= ratio / levels[SCALE]
        levels[SCALE] = ratio


@compiled(f"float64({LINE}, {LINE}, float64[::1], float64)")
def trust(microphone: np.ndarray, echo: np.ndarray, levels: np.ndarray, hop_s: float) -> float:
    """How much of the predicted echo to take out, 0..1, by the regression of the microphone on it, and by their likeness, of late.

    The echo is predicted before the hop is learnt from, so of a wrong reference the regression is nought, but for CHANCE;
    of a right one it is 1, but for what the singer does to it, so that all is taken out from SURE on. Of what follows the singer
    the likeness tells nothing: it is tones, which the singer has in common with it.
    """
    careful = levels[SINCE] > levels[CAREFUL_AFTER]
    keep = np.exp(-hop_s / (CAREFUL_TRUST_S if careful else TRUST_S))
    levels[SHARED] = keep * levels[SHARED] + product(microphone, echo)
    levels[ECHO] = keep * levels[ECHO] + product(echo, echo)
    levels[TRUST] = min(1.0, max(0.0, levels[SHARED] / (levels[ECHO] + SILENT * echo.shape[0])))
    like, found = levels[LIKE] / (levels[LIKE_HOPS] + 1e-9), min(1.0, max(0.0, (levels[TRUST] - CHANCE) / (SURE - CHANCE)))
    if careful:
        return found
    return found * min(1.0, max(0.0, (like - UNLIKE) / (ALIKE - UNLIKE)))


@compiled(f"float32({CUBE}, int64)", FAST)
def power(weights: np.ndarray, k: int) -> np.float32:
    """Of a bin of the filter."""
    total = np.float32(0.0)
    for i in range(PARTITIONS):
        total += weights[0, k, i] * weights[0, k, i] + weights[1, k, i] * weights[1, k, i]
    return total


@compiled(f"boolean({PLANE}, {PLANE}, float64[::1])", FAST)
def is_lost(heard: np.ndarray, error: np.ndarray, levels: np.ndarray) -> bool:
    """Whether a path that was right is no longer so: the microphone was moved, the song jumped.

    By the regression of what was heard on what was predicted, in which each bin counts as much as the prediction is of all that
    sounds there: a loud singer fills some bins and leaves the others. It has to fall far below what is usual, which is low
    already where two clocks run apart or little is learnt.
    """
    found, sought = np.float32(0.0), np.float32(0.0)
    for k in range(SLIP_BINS[0], LATE_BINS):
        mr, mi = heard[0, k], heard[1, k]
        yr, yi = mr - error[0, k], mi - error[1, k]
        y = yr * yr + yi * yi
        white = np.float32(1.0) / (mr * mr + mi * mi + y + np.float32(1e-9))
        found += white * (mr * yr + mi * yi)
        sought += white * y
    keep = np.exp(-LEARNT_S / FOUND_S)
    levels[FOUND] = keep * levels[FOUND] + found
    levels[SOUGHT] = keep * levels[SOUGHT] + sought
    part = min(1.0, max(0.0, levels[FOUND] / (levels[SOUGHT] + 1e-9)))
    levels[NOW] += (1.0 - np.exp(-LEARNT_S / NOW_S)) * (part - levels[NOW])
    doubted = levels[USUAL] > GOOD and levels[NOW] < LOST * levels[USUAL]
    levels[USUAL] += (1.0 - np.exp(-LEARNT_S / USUAL_S)) * (part - levels[USUAL])
    levels[DOUBTED] = levels[DOUBTED] + LEARNT_S if doubted else 0.0
    return levels[DOUBTED] >= LOST_S


@compiled(f"void(float64[::1], {CUBE}, {PLANE}, {LINE})")
def begin_again(levels: np.ndarray, weights: np.ndarray, spread: np.ndarray, prior: np.ndarray) -> None:
    """Forget a path, but for its colour, which is the loudspeaker's."""
    levels[SCALE] = levels[MICROPHONE] / levels[REFERENCE]
    whole = np.float32(1e-12)
    for k in range(BINS):
        whole += power(weights, k)
    scale = np.float32(UNCERTAIN_AGAIN * levels[SCALE])
    for k in range(BINS):
        colour = np.float32(1.0 - SAME_LOUDSPEAKER) + np.float32(SAME_LOUDSPEAKER * BINS) * power(weights, k) / whole
        for i in range(PARTITIONS):
            spread[k, i] = max(spread[k, i], scale * colour * prior[i])
    forget(levels, weights)


@compiled(f"void({LINE}, {PLANE}, float32, float32, {LINE}, {LINE})", FAST)
def expect(
    unsure: np.ndarray,
    error: np.ndarray,
    keep: np.float32,
    care: np.float32,
    near: np.ndarray,
    noise: np.ndarray,
) -> None:
    """The expected power of the error [BINS]: the singer's, of which ``keep`` stays from one time to the next, taken ``care`` times, and
    the filter's own."""
    quiet = np.float32(SILENT * FFT) * PORTION
    for k in range(BINS):
        near[k] = keep * near[k] + (np.float32(1.0) - keep) * (error[0, k] * error[0, k] + error[1, k] * error[1, k])
        noise[k] = PORTION * unsure[k] + care * near[k] + quiet


@compiled(f"void({LINE}, {LINE})")
def push(window: np.ndarray, hop: np.ndarray) -> None:
    """Shift a window on by a hop."""
    keep = window.shape[0] - hop.shape[0]
    for i in range(keep):
        window[i] = window[i + hop.shape[0]]
    for i in range(hop.shape[0]):
        window[keep + i] = hop[i]


@compiled(f"float64({LINE}, {PLANE})")
def echo_share(unsure: np.ndarray, error: np.ndarray) -> float:
    """The part of the error's power that the filter thinks its own fault, 0..1: how far off it may be, over what is left.
    By the bins in which all of the filter learns."""
    own, whole = np.float32(0.0), np.float32(1e-12)
    for k in range(LATE_BINS):
        own += SURER * PORTION * unsure[k]
        whole += error[0, k] * error[0, k] + error[1, k] * error[1, k]
    return min(1.0, float(own / whole))


@compiled(f"void({LINE}, {LINE}, {LINE}, {LINE}, float64, float64, boolean, float64[::1], float64)")
def tell(
    microphone: np.ndarray,
    left: np.ndarray,
    out: np.ndarray,
    echo: np.ndarray,
    part: float,
    share: float,
    sounds: bool,
    levels: np.ndarray,
    hop_s: float,
) -> None:
    """Mean powers of the last second: of the microphone, of what is left of it, of the echo that is taken out and of that
    which is thought to be left; and, once something is learnt, the sums of all hops in which the reference sounds."""
    new, count, whole = 1.0 - np.exp(-hop_s / TOLD_S), out.shape[0], product(echo, echo)
    taken, rest = part * part * whole, (1.0 - part) ** 2 * whole + share * product(left, left)
    after = product(out, out)
    levels[BEFORE] += new * (product(microphone, microphone) / count - levels[BEFORE])
    levels[AFTER] += new * (after / count - levels[AFTER])
    levels[TAKEN] += new * (taken / count - levels[TAKEN])
    levels[LEFT] += new * (rest / count - levels[LEFT])
    if sounds and levels[HEARD] > FIRST_S:
        levels[ALL_TAKEN] += taken
        levels[ALL_LEFT] += rest
        levels[ALL_AFTER] += after


@compiled(
    f"void({LINE}, {LINE}, {LINE}, int64, int64, int64, float64, float32, float32,"
    f" {CUBE}, {CUBE}, {PLANE}, {LINE}, {LINE}, float64[::1], {PLANE}, {PLANE}, {PLANE},"
    f" {LINE}, {LINE}, {LINE}, {PLANE}, {PLANE}, {PLANE}, {LINE}, {LINE}, {CUBE},"
    f" {PLANE}, {PLANE}, {PLANE}, {PLANE}, {WHOLE}, {WHOLE}, {PLANE}, {CUBE}, {CUBE})",
)
def cancel(
    microphone: np.ndarray,
    reference: np.ndarray,
    out: np.ndarray,
    at: int,
    first: int,
    hops: int,
    hop_s: float,
    keep: np.float32,
    smooth: np.float32,
    past: np.ndarray,
    weights: np.ndarray,
    spread: np.ndarray,
    near: np.ndarray,
    prior: np.ndarray,
    levels: np.ndarray,
    shared: np.ndarray,
    recent: np.ndarray,
    earlier: np.ndarray,
    window: np.ndarray,
    echo: np.ndarray,
    left: np.ndarray,
    estimate: np.ndarray,
    error: np.ndarray,
    heard: np.ndarray,
    unsure: np.ndarray,
    noise: np.ndarray,
    step: np.ndarray,
    natural: np.ndarray,
    ordered: np.ndarray,
    natural_wide: np.ndarray,
    ordered_wide: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    roots: np.ndarray,
    twiddle: np.ndarray,
    twiddle_back: np.ndarray,
) -> None:
    """One hop: ``at`` is where the newest spectrum goes in ``past``, ``first`` where the filter's window begins. ``recent`` [2, LEARNT]
    the newest of the microphone and of what the filter leaves of it, ``earlier`` [BLOCK // LEARNT, LEARNT] the microphone's last
    partition."""
    push(window, reference)
    natural[0, :] = window
    natural[1, :] = np.float32(0.0)
    transform(natural[0], natural[1], ordered[0], ordered[1], roots, twiddle)
    store(ordered, place, past, at)
    hears = product(microphone, microphone) > SILENT * microphone.shape[0]
    sounds = hears and product(reference, reference) > QUIET * reference.shape[0]
    if sounds:
        guess_power(microphone, reference, levels, weights, spread, prior, hop_s)
    if sounds or levels[SINCE] > 0.0:
        levels[SINCE] += hop_s
    predict(past, first, weights, spread, keep if sounds else np.float32(1.0), estimate, unsure)
    newest_of(estimate, natural, ordered, place, echo, roots, twiddle)
    levels[PART] = part = trust(microphone, echo, levels, hop_s)
    for i in range(out.shape[0]):
        left[i] = microphone[i] - echo[i]
        out[i] = microphone[i] - np.float32(part) * echo[i]
    push(recent[0], microphone)
    push(recent[1], left)
    learns = hops * microphone.shape[0] % LEARNT == 0
    if learns:
        spectra_of_two(recent[1], recent[0], natural, ordered, place, error, heard, roots, twiddle)
        levels[FAULT] = echo_share(unsure, error)
    tell(microphone, left, out, echo, part, levels[FAULT], sounds, levels, hop_s)
    if not learns:
        return
    careful = levels[SINCE] > levels[CAREFUL_AFTER]
    expect(unsure, error, smooth, np.float32(CAREFUL if careful else 1.0), near, noise)
    turn = hops * microphone.shape[0] // LEARNT
    if sounds or (hears and not careful):
        learn(past, first, error, noise, spread, step, weights)
        constrain(step, weights, 0, natural_wide, ordered_wide, order, roots, twiddle, twiddle_back)
        if turn % 2 == 0:
            constrain(step, weights, 1 + turn // 2 % (GROUPS - 1), natural_wide, ordered_wide, order, roots, twiddle, twiddle_back)
    levels[SLIP] = slip_samples(heard, error, shared)
    if sounds:
        levels[LIKE] = STAYS * levels[LIKE] + likeness(heard, error)
        levels[LIKE_HOPS] = STAYS * levels[LIKE_HOPS] + 1.0
        if levels[SINCE] <= levels[CAREFUL_AFTER] and is_lost(heard, error, levels):
            begin_again(levels, weights, spread, prior)
    before = earlier[turn % earlier.shape[0]]
    if sounds and not careful and levels[NEW_FOR] > 0.0:
        levels[NEW_FOR] -= LEARNT_S
        if levels[JOINED] >= earlier.shape[0]:
            predict(past, first + 1, weights, spread, np.float32(1.0), estimate, unsure)
            newest_of(estimate, natural, ordered, place, recent[1], roots, twiddle)
            for i in range(LEARNT):
                recent[1, i] = before[i] - recent[1, i]
            spectra_of_two(recent[1], before, natural, ordered, place, error, heard, roots, twiddle)
            expect(unsure, error, np.float32(1.0), np.float32(1.0), near, noise)
            learn(past, first + 1, error, noise, spread, step, weights)
            constrain(step, weights, 0, natural_wide, ordered_wide, order, roots, twiddle, twiddle_back)
    before[:] = recent[0]
    levels[JOINED] += 1.0


def turn_samples(before: np.ndarray, now: np.ndarray) -> float:
    """How many samples later a response stands than it did, by two ``Canceller.response_spectrum``: as ``slip_samples``."""
    omega = 2.0 * np.pi / FFT * np.arange(*SLIP_BINS)
    re = np.einsum("kp,kp->k", now[0], before[0]) + np.einsum("kp,kp->k", now[1], before[1])
    im = np.einsum("kp,kp->k", now[1], before[0]) - np.einsum("kp,kp->k", now[0], before[1])
    return float(-np.sum(omega * im) / (np.sum(omega**2 * np.maximum(0.0, re)) + 1e-9))


class Canceller:
    """The filter of one stream. ``process`` takes a hop of the microphone and one of the reference, both at 16 kHz.

    Parameters
    ----------
    hop_samples : samples of a hop; LEARNT must be a whole multiple. Raises ValueError for another.
    keep : of the Markov model, how much of the path is still true 10 ms of sounding reference later (amplitude).
    smooth : how much of the singer's power spectrum stays for 10 ms, LEARNT samples.
    reverberation_s : what is thought of the path before anything is heard: it dies away by 60 dB in so long.
    careful_after_s : for a reference that follows the singer, whom the filter would take for its echo: so long from its first sound on,
        in which it plays something else, the path is learnt; from then on little of it is changed.
    """

    def __init__(
        self,
        hop_samples: int = 160,
        keep: float = 0.99995,
        smooth: float = 0.7,
        reverberation_s: float = 1.5,
        careful_after_s: float = np.inf,
    ):
        if hop_samples < 1 or LEARNT % hop_samples:
            raise ValueError(f"a hop of {hop_samples} samples cannot be had: {LEARNT} must be a whole multiple of it")
        self.hop_samples, self.hop_s = hop_samples, hop_samples / SAMPLE_RATE
        self._careful_after_s = careful_after_s
        self._keep, self._smooth = np.float32(keep ** (200.0 * self.hop_s)), np.float32(smooth)
        self._phases = BLOCK // hop_samples
        energy = 10.0 ** (-6.0 * np.arange(PARTITIONS) * BLOCK / SAMPLE_RATE / reverberation_s)
        self._prior = (energy / energy.sum()).astype(np.float32)
        self._roots, self._twiddle, self._twiddle_back = transform_tables()
        self._order = order_of_transform()
        self._place = np.argsort(self._order)
        self._make_state()
        self.reset()

    def _make_state(self) -> None:
        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        self._ring = zeros(self._phases, 2, BINS, 2 * HELD)
        self._weights, self._spread, self._near = zeros(2, BINS, PARTITIONS), zeros(BINS, PARTITIONS), zeros(BINS)
        self._shared, self._window, self._echo, self._left = zeros(2, BINS), zeros(FFT), zeros(self.hop_samples), zeros(self.hop_samples)
        self._estimate, self._error, self._heard = zeros(2, BINS), zeros(2, BINS), zeros(2, BINS)
        self._unsure, self._noise, self._step = zeros(BINS), zeros(BINS), zeros(2, BINS, GROUP)
        self._natural, self._ordered = zeros(2, FFT), zeros(2, FFT)
        self._natural_wide, self._ordered_wide = zeros(2, FFT * COLUMNS), zeros(2, FFT * COLUMNS)
        self._recent, self._earlier, self._levels = zeros(2, LEARNT), zeros(BLOCK // LEARNT, LEARNT), np.zeros(LEVELS)

    def reset(self) -> None:
        """Forget the path and what was heard."""
        for state in (self._ring, self._weights, self._spread, self._near, self._shared, self._recent, self._window, self._levels):
            state[:] = 0.0
        self._levels[CAREFUL_AFTER], self._levels[NEW_FOR] = self._careful_after_s, NEW_S
        self._hops = self.back_blocks = 0

    def jump(self) -> None:
        """Forget what was heard but not the path: what comes next does not follow on what came."""
        for state in (self._ring, self._window, self._recent, self._shared):
            state[:] = 0.0
        self._levels[JOINED] = 0.0

    def process(self, microphone: np.ndarray, reference: np.ndarray, out: np.ndarray) -> None:
        """Take in a hop of both, write the microphone without the reference to ``out`` (float32, ``[shape=(hop_samples,)]``)."""
        past, at = self._ring[self._hops % self._phases], -(self._hops // self._phases) % HELD
        self._hops += 1
        cancel(
            microphone,
            reference,
            out,
            at,
            at + self.back_blocks,
            self._hops,
            self.hop_s,
            self._keep,
            self._smooth,
            past,
            self._weights,
            self._spread,
            self._near,
            self._prior,
            self._levels,
            self._shared,
            self._recent,
            self._earlier,
            self._window,
            self._echo,
            self._left,
            self._estimate,
            self._error,
            self._heard,
            self._unsure,
            self._noise,
            self._step,
            self._natural,
            self._ordered,
            self._natural_wide,
            self._ordered_wide,
            self._order,
            self._place,
            self._roots,
            self._twiddle,
            self._twiddle_back,
        )

    def block_powers(self) -> np.ndarray:
        """Of the learnt path, how strong each partition is [shape=(PARTITIONS,)]."""
        return np.einsum("rkp,rkp->p", self._weights, self._weights)

    def response_spectrum(self) -> np.ndarray:
        """A copy of the learnt path where its phase is looked at [shape=(2, n_bins, PARTITIONS)]."""
        return self._weights[:, SLIP_BINS[0] : SLIP_BINS[1]].copy()

    def response(self) -> np.ndarray:
        """The learnt path, reference to microphone, from the newest sample of the reference on [shape=(n,)]."""
        spectra = self._weights[0] + 1j * self._weights[1]
        taps = np.fft.irfft(spectra, FFT, axis=0)[:BLOCK].T.ravel()
        return np.concatenate([np.zeros(self.back_blocks * BLOCK), taps]).astype(np.float32)

    def stand_back(self, blocks: int, elsewhere: int = 0) -> None:
        """Let the filter begin ``blocks`` partitions, at most MOST_BACK, after the newest of the reference; what it knows moves
        along. ``elsewhere``: by so many more partitions the reference comes late from now on."""
        if not 0 <= blocks <= MOST_BACK:
            raise ValueError(f"{blocks} partitions back cannot be had: 0 to {MOST_BACK}")
        move, self.back_blocks = blocks + elsewhere - self.back_blocks, blocks
        if elsewhere:  # what is held of the reference is of another delay
            self._levels[JOINED] = -float(PARTITIONS * BLOCK // LEARNT)
        if move == 0:
            return
        sure = self._spread / self._prior
        _shift(self._weights, move, 0.0)
        _shift(sure, move, float(sure.max()))
        np.multiply(sure, self._prior, out=self._spread)

    def learn_anew(self) -> None:
        """What the path is learnt by is played again, since it may have become another: it is kept, and thought as uncertain as at the
        first sound."""
        for level in (SINCE, JOINED, GUESSED, KNOWN, UNFOUND, MICROPHONE, REFERENCE):
            self._levels[level] = 0.0
        self._levels[NEW_FOR] = NEW_S
        self._doubt(UNCERTAIN_AGAIN)

    def loosen(self) -> None:
        """Think the path more uncertain again, but keep what was learnt."""
        self._doubt(LOOSE)

    def _doubt(self, part: float) -> None:
        """Have the covariance be so much of the first guess at least."""
        np.maximum(self._spread, np.float32(part * self._levels[SCALE]) * self._prior, out=self._spread)

    @property
    def trust(self) -> float:
        """How much of the echo that is predicted is taken out, 0..1: what is surely found of it."""
        return float(self._levels[PART])

    @property
    def slip_samples(self) -> float:
        """How much later than predicted the echo was heard over the last half second, in samples; of equal clocks 0."""
        return float(self._levels[SLIP])

    @property
    def restarts(self) -> int:
        """How often the path was lost and learnt anew."""
        return int(self._levels[RESTARTS])

    @property
    def taken_db(self) -> float:
        """How far the microphone stands above what is left of it, over the last second; 0 where neither sounds."""
        return float(10.0 * np.log10((self._levels[BEFORE] + 1e-12) / (self._levels[AFTER] + 1e-12)))

    @property
    def removed_db(self) -> float:
        """How far the echo is thought to stand above what is left of it, over the last second."""
        return _removed_db(*self._levels[[TAKEN, LEFT]])

    @property
    def over_voice_db(self) -> float:
        """How far the echo is thought to stand above all else that the microphone hears, over the last second."""
        return _over_voice_db(*self._levels[[TAKEN, LEFT, AFTER]])

    @property
    def removed_of_all_db(self) -> float:
        """As ``removed_db``, of all hops in which the reference sounded but the first."""
        return _removed_db(*self._levels[[ALL_TAKEN, ALL_LEFT]])

    @property
    def over_voice_of_all_db(self) -> float:
        """As ``over_voice_db``, of all hops in which the reference sounded but the first."""
        return _over_voice_db(*self._levels[[ALL_TAKEN, ALL_LEFT, ALL_AFTER]])


def _removed_db(taken: float, left: float) -> float:
    return float(10.0 * np.log10((taken + left + 1e-12) / (left + 1e-12)))


def _over_voice_db(taken: float, left: float, after: float) -> float:
    return float(10.0 * np.log10((taken + left + 1e-12) / (max(0.0, after - left) + 1e-12)))


def _shift(array: np.ndarray, by: int, fill: float) -> None:
    """Move along the last axis towards its beginning (``by`` negative: its end), in place."""
    kept = array[..., by:].copy() if by >= 0 else array[..., :by].copy()
    array[:] = fill
    array[..., slice(0, kept.shape[-1]) if by >= 0 else slice(-by, None)] = kept
