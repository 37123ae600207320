"""What is sung as a synthesiser sounds it: each one of the table, in each mode, by its own sound.

``python -m rt_melody.benchmarks.synths --out benchmarks/results/synths.json --table benchmarks/results/synths.md`` plays a melody
of known pitch through note tracker, player's stage and MIDI output into each synthesiser that is installed, on a private
JACK server, records it and tracks its pitch. ``--only NAME`` takes one of them.

Conventions
-----------
* Errors are in cents against what was sung plus the synthesiser's own tuning: the median by which it is off on plain notes.
* Listened to is every 10 ms at which somebody sings and has done so, on one note of what was sent, for ``STEADY_S`` on either
  side. Both what was sung and what sounds go through the same ear, whose window a vibrato outlasts.
* The constant delay that suits best is taken out; it is reported.
* A mode is silent where the synthesiser makes no sound in half of those moments. Where it does not bend by construction
  (see realtime/settings/synths.py), nothing must be reached.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rt_melody.benchmarks.report import check_files, markdown, write_result
from rt_melody.benchmarks.rig.instruments import INSTRUMENTS, Instrument, Score, version_of
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, JackServer, RigMissing
from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.settings import MidiSettings, PerformanceSettings
from rt_melody.realtime.settings.performance import Mode
from rt_melody.realtime.settings.synths import preset
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.types import PitchFrame, midi_to_hz

MODES: tuple[Mode, ...] = ("mono", "legato", "bend", "mpe")
PERIOD_SAMPLES = 1024
HOP_S = 0.01
LAG_S = 0.02  # by which a frame exists after the sound
LEAD_IN_S, LEAD_OUT_S = 1.0, 0.8
STEADY_S = 0.1
WINDOW_S = 0.05  # of the ear
SILENT_DB = -40.0  # below the loudest, a synthesiser is silent
DELAYS_S = np.arange(0.0, 0.161, 0.002)
MEDIAN_CENTS, P90_CENTS = 5.0, 12.0  # to be reached
PLAIN_NOTES = (57, 60, 64, 67)
PLAIN_S = 0.7
PROBE = 64  # the note on which single messages are tried
ANNOUNCED = 7.0  # semitones, to see whether a range is taken: no octave, which the ear might take for none


# --- what is sung


def _note(pitch: float, seconds: float, vibrato: float = 0.0, scoop: float = 0.0) -> np.ndarray:
    t = np.arange(round(seconds / HOP_S)) * HOP_S
    depth = vibrato * np.clip((t - 0.2) / 0.2, 0, 1)
    return pitch - scoop * np.exp(-t / 0.03) + depth * np.sin(2 * np.pi * 5.0 * t)


def _glide(start: float, end: float, seconds: float) -> np.ndarray:
    return np.linspace(start, end, round(seconds / HOP_S))


def _rest(seconds: float) -> np.ndarray:
    return np.full(round(seconds / HOP_S), np.nan)


def sung_melody() -> np.ndarray:
    """Pitch of each hop as a fractional MIDI note, NaN in silence [shape=(n_hops,)]: held notes with vibrato a little beside the
    keys, steps, a scoop, a slow glide, wide leaps; alone and after one another."""
    return np.concatenate([
        _rest(LEAD_IN_S),
        _note(57.2, 0.8, 0.25, 0.8), _note(59.1, 0.7), _note(60.9, 0.9, 0.3), _rest(0.4),
        _note(64.3, 0.8), _note(62.75, 0.8, 0.2), _rest(0.5),
        _note(60.15, 0.5), _glide(60.15, 61.6, 0.8), _note(61.6, 0.6), _rest(0.4),
        _note(67.0, 0.8, 0.3), _note(62.1, 0.8), _note(69.3, 0.9, 0.25, 1.0), _rest(0.4),
        _note(55.8, 0.9, 0.3), _rest(LEAD_OUT_S),
    ])  # fmt: skip


def short_melody() -> np.ndarray:
    """The same kinds of singing in three and a half seconds, for a test."""
    return np.concatenate([
        _rest(0.3), _note(57.2, 0.6, 0.25, 0.8), _note(60.1, 0.5), _rest(0.3),
        _note(62.75, 0.4), _glide(62.75, 64.2, 0.5), _note(67.3, 0.6, 0.25), _rest(0.4),
    ])  # fmt: skip


def frame_of(hop: int, pitch: float) -> PitchFrame:
    """A frame that is sure of what is sung; NaN is silence."""
    at_s, voiced = hop * HOP_S, bool(np.isfinite(pitch))
    f0_hz = midi_to_hz(pitch) if voiced else 100.0
    return PitchFrame(hop, at_s, at_s + LAG_S, f0_hz, voiced, 0.99, 0.99 if voiced else 0.01, -12.0 if voiced else -70.0)


def score_of(sung: np.ndarray, mode: Mode, said: MidiSettings) -> Score:
    """The messages of the MIDI output for what is sung, each at the time of its hop."""
    tracker = NoteTracker(hop_s=HOP_S)
    performer = Performer(tracker, PerformanceSettings(mode=mode, bend_range=said.bend_range))
    port = _Notebook()
    sink = MidiSink(port, said)
    sink.start(0.0)
    for i, pitch in enumerate(sung):
        frame = frame_of(i, pitch)
        port.now_s = frame.available_s
        sink.frame(frame)
        for event in performer.feed(frame):
            sink.event(event)
    sink.close()
    return port.score


class _Notebook:
    """A port that writes down what is sent, and when."""

    def __init__(self) -> None:
        self.now_s, self.score = 0.0, []

    def send_message(self, message: bytes) -> None:
        self.score.append((self.now_s, bytes(message)))

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


# --- the ear


def heard_pitch(sound: np.ndarray, times_s: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Pitch of ``sound`` at each time [shape=(n,)], looked for within 3 semitones of ``near``; NaN where it is silent or has none.

    The peak of the autocorrelation of a window, each lag divided by the energy of what it compares.
    """
    loud = float(np.sqrt(np.max(np.convolve(sound**2, np.ones(480) / 480, "valid")))) if len(sound) > 480 else 0.0
    return np.array([_pitch(sound, at_s, around, loud) for at_s, around in zip(times_s, near, strict=True)])


def _pitch(sound: np.ndarray, at_s: float, near: float, loud: float) -> float:
    longest, shortest = (SAMPLE_RATE / midi_to_hz(near + away) for away in (-3.0, 3.0))
    window = max(round(WINDOW_S * SAMPLE_RATE), round(2.5 * longest))
    first = round(at_s * SAMPLE_RATE) - (window + round(longest)) // 2
    block = sound[max(0, first) : first + window + round(longest) + 2].astype(np.float64)
    if first < 0 or len(block) < window + longest or np.sqrt(np.mean(block**2)) < loud * 10 ** (SILENT_DB / 20) or loud == 0.0:
        return np.nan
    block -= block.mean()
    lags = np.arange(int(shortest), int(longest) + 2)
    likeness = _likeness(block, lags, window)
    best = int(np.argmax(likeness))
    if likeness[best] < 0.5 or not 0 < best < len(lags) - 1:
        return np.nan
    left, middle, right = likeness[best - 1 : best + 2]
    lag = lags[best] + 0.5 * (left - right) / (left - 2 * middle + right)
    return 69.0 + 12.0 * np.log2(SAMPLE_RATE / lag / 440.0)


def _likeness(block: np.ndarray, lags: np.ndarray, window: int) -> np.ndarray:
    """Normalised correlation of the block with itself at each lag, both parts placed evenly about its middle."""
    spare = len(block) - window
    found = []
    for lag in lags:
        first = (spare - lag) // 2
        a, b = block[first : first + window], block[first + lag : first + lag + window]
        found.append(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))
    return np.array(found)


def tone_of(sung: np.ndarray) -> np.ndarray:
    """A plain harmonic tone that follows what is sung, for the ear to hear that too."""
    hops = np.arange(len(sung)) * HOP_S
    t = np.arange(round(len(sung) * HOP_S * SAMPLE_RATE)) / SAMPLE_RATE
    there = np.isfinite(sung)
    pitch = np.interp(t, hops[there], sung[there])
    phase = 2 * np.pi * np.cumsum(440.0 * 2.0 ** ((pitch - 69.0) / 12.0)) / SAMPLE_RATE
    sounding = np.interp(t, hops, there.astype(float)) > 0.5
    return sounding * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase))


# --- one synthesiser


@dataclass(frozen=True)
class Melody:
    """What is sung, and what the ear hears of it."""

    sung: np.ndarray
    times_s: np.ndarray
    heard: np.ndarray

    def near(self, times_s: np.ndarray) -> np.ndarray:
        """Where to look for the pitch at these moments: what is sung then, or around then."""
        there = np.isfinite(self.sung)
        return np.interp(times_s, np.flatnonzero(there) * HOP_S, self.sung[there])


def make_melody(sung: np.ndarray | None = None) -> Melody:
    sung = sung_melody() if sung is None else sung
    margin = round(STEADY_S / HOP_S)
    there = np.isfinite(sung)
    steady = np.array([there[max(0, i - margin) : i + margin + 1].all() for i in range(len(sung))])
    times_s = np.flatnonzero(steady) * HOP_S
    heard = heard_pitch(tone_of(sung), times_s, sung[steady])
    return Melody(sung, times_s, heard)


def own_tuning(instrument: Instrument) -> float:
    """Semitones by which plain notes sound beside the keys; NaN where they have no pitch. An organ may be octaves off."""
    score, times_s, notes = [], [], []
    for i, note in enumerate(PLAIN_NOTES):
        begun_s = 0.2 + i * 1.2 * PLAIN_S
        score += [(begun_s, midi.note_on(1, note, 100)), (begun_s + PLAIN_S, midi.note_off(1, note))]
        moments = np.arange(0.2, PLAIN_S - 0.1, 0.02) + begun_s
        times_s += [*moments]
        notes += [note] * len(moments)
    sound = instrument.play(score, 0.2 + 1.2 * PLAIN_S * len(PLAIN_NOTES))
    octaves = [heard_pitch(sound, np.array(times_s), np.array(notes) + octave) - notes for octave in (0.0, -12.0, 12.0)]
    off = max(octaves, key=lambda found: round(np.isfinite(found).mean(), 1))  # of several, the first
    return float(np.nanmedian(off)) if np.isfinite(off).mean() > 0.3 else np.nan


def full_bend(instrument: Instrument, tuning: float, announced: float | None = None) -> float:
    """Semitones of the synthesiser's whole bend downwards, without an announcement or after one."""
    told = [] if announced is None else [(0.1 + 0.03 * i, m) for i, m in enumerate(midi.bend_range(1, announced))]
    score = [*told, (0.5, midi.note_on(1, PROBE, 100)), (0.55, midi.pitch_bend(1, 0))]
    score += [(1.3, midi.note_off(1, PROBE)), (1.4, midi.pitch_bend(1, midi.BEND_CENTRE))]
    sound = instrument.play(score, 1.6)
    moments = np.arange(0.8, 1.2, 0.02)
    for down in filter(None, (announced, 2.0, 2.4, 1e-9)):
        heard = PROBE + tuning - heard_pitch(sound, moments, np.full(len(moments), PROBE + tuning - down))
        if np.isfinite(heard).mean() > 0.3 and abs(np.nanmedian(heard) - down) < 0.4:
            return float(np.nanmedian(heard))
    return np.nan


# --- what it makes of single messages


FALL_DB = 4.0  # by which it must fall more from 127 to 20 of a controller than it does by itself, to follow it
STOP_DB = 20.0  # by which within a second and a half to have been stopped
RESET = [midi.control_change(1, "reset_all", 0), midi.control_change(1, "volume", 100), midi.pitch_bend(1, midi.BEND_CENTRE)]
AT_REST = {"CC 7": 100, "CC 11": 127, "CC 2": 127, "pressure": 0}
LEVELS = {"CC 7": midi.LOUDNESS["cc7"], "CC 11": midi.LOUDNESS["cc11"], "CC 2": midi.LOUDNESS["cc2"], "pressure": midi.channel_pressure}


def _level_db(sound: np.ndarray, at_s: float) -> float:
    first = round(at_s * SAMPLE_RATE)
    return 10 * np.log10(np.mean(sound[first : first + SAMPLE_RATE // 10].astype(np.float64) ** 2) + 1e-12)


def _held(instrument: Instrument, *sent: tuple[float, bytes], channel: int = 1, seconds: float = 2.4) -> np.ndarray:
    """The sound of a note from .2 s on, ``sent`` meanwhile; all is as it was afterwards."""
    end_s = seconds - 0.2
    note = [(0.2, midi.note_on(channel, PROBE, 100)), (end_s, midi.note_off(channel, PROBE))]
    reset = [(end_s + 0.01 * (1 + i), message) for i, message in enumerate(RESET)]
    return instrument.play(sorted([*note, *sent, *reset], key=lambda timed: timed[0]), seconds)


def probe(instrument: Instrument, tuning: float, bends: bool) -> dict:
    """What single messages do; of bends, None where it has none."""
    loud_db = _level_db(_held(instrument, seconds=1.2), 0.5)
    on = [channel for channel in (1, 2, 16) if _level_db(_held(instrument, channel=channel, seconds=1.2), 0.5) > loud_db + SILENT_DB]
    stops = [number for number, name in ((120, "all_sound_off"), (123, "all_notes_off")) if _stops(instrument, name)]
    return {
        "channels": {(1, 2, 16): "all", (1, 2): "1, 2"}.get(tuple(on), "1"),
        "own_bends": bends and 2 in on and _stays(instrument, tuning, (0.4, midi.pitch_bend(3, 0)), channel=2),
        "stops": ", ".join(map(str, stops)),
        "recentres": _recentres(instrument, tuning) if bends else None,
        "follows": _followed(instrument),
    }


def _stops(instrument: Instrument, name: str) -> bool:
    sound = _held(instrument, (0.7, midi.control_change(1, name, 0)))
    return _level_db(sound, 2.0) < _level_db(sound, 0.55) - STOP_DB


def _stays(instrument: Instrument, tuning: float, *sent: tuple[float, bytes], channel: int = 1) -> bool:
    """Whether in the end the note sounds unbent."""
    moments = np.arange(1.4, 1.8, 0.02)
    sound = _held(instrument, *sent, channel=channel)
    heard = heard_pitch(sound, moments, np.full(len(moments), PROBE + tuning)) - PROBE - tuning
    return bool(np.isfinite(heard).mean() > 0.3 and abs(np.nanmedian(heard)) < 0.3)


def _recentres(instrument: Instrument, tuning: float) -> bool:
    return _stays(instrument, tuning, (0.4, midi.pitch_bend(1, 0)), (0.8, midi.control_change(1, "reset_all", 0)))


def _followed(instrument: Instrument) -> list[str]:
    """The messages that make a sounding note louder."""
    by_itself_db = _fall_db(_held(instrument))
    followed = []
    for name, message in LEVELS.items():
        sound = _held(instrument, (0.1, message(1, 127)), (0.9, message(1, 20)))
        instrument.play([(0.0, message(1, AT_REST[name]))], 0.1)
        if _fall_db(sound) > by_itself_db + FALL_DB:
            followed.append(name)
    return followed


def _fall_db(sound: np.ndarray) -> float:
    return _level_db(sound, 0.6) - _level_db(sound, 1.5)


# --- a take


def compare(sound: np.ndarray, melody: Melody, score: Score, tuning: float) -> dict:
    """Figures of one take, at the delay that suits it best."""
    edges = np.array([at_s for at_s, m in score if m[0] & 0xF0 in (0x80, 0x90)])
    clear = [np.abs(edges - at_s).min() > STEADY_S for at_s in melody.times_s]
    times_s, sung = melody.times_s[clear], melody.heard[clear] + tuning
    moments = np.arange(0.0, len(melody.sung) * HOP_S + DELAYS_S[-1], HOP_S)
    sounding = heard_pitch(sound, moments, melody.near(moments - DELAYS_S.mean()) + tuning)
    takes = [_figures(np.interp(times_s + delay_s, moments, sounding) - sung, delay_s) for delay_s in DELAYS_S]
    best = min(takes, key=lambda figures: (figures["p90_cents"], figures["median_cents"]))
    best["sounds"] = _share_of_sound(sound, times_s + DELAYS_S.mean())
    cents = {key: round(float(value), 2) if np.isfinite(value) else None for key, value in best.items() if key.endswith("cents")}
    return best | cents


def _share_of_sound(sound: np.ndarray, times_s: np.ndarray) -> float:
    levels_db = np.array([_level_db(sound, at_s - 0.05) for at_s in times_s])
    loudest_db = 10 * np.log10(float(np.max(sound**2)) / 2 + 1e-12)
    return round(float(np.mean((levels_db > loudest_db + SILENT_DB) & (levels_db > -90))), 3)


def _figures(errors: np.ndarray, delay_s: float) -> dict:
    """``errors`` in semitones, NaN where nothing is heard, which counts as farther off than anything."""
    cents = 100 * np.where(np.isfinite(errors), np.abs(errors), np.inf)
    return {
        "delay_ms": round(1000 * delay_s), "median_cents": np.percentile(cents, 50, method="higher"),
        "p90_cents": np.percentile(cents, 90, method="higher"), "moments": len(cents), "heard": round(float(np.isfinite(errors).mean()), 3),
    }  # fmt: skip


def settings_for(name: str, mode: str) -> MidiSettings:
    """What ``--synth NAME --mode MODE`` means. Loudness is left out: it is not what is measured."""
    wanted = preset(name, mode)
    return MidiSettings(mpe=mode == "mpe", bend_range_semitones=wanted.bend_range_semitones, loudness="off", brightness="off")


def measure(name: str, server: JackServer, melody: Melody, modes: tuple[Mode, ...] = MODES, facts: bool = True) -> Iterator[dict]:
    """A row for each mode, with how far the synthesiser bends where ``facts`` are asked for. Raises RigMissing where it is
    not there."""
    with closing(INSTRUMENTS[name].start(server)) as instrument:
        heard = own_tuning(instrument)
        tuning = 0.0 if np.isnan(heard) else heard
        row = {"synthesiser": name, "version": version_of(name), "tuning_cents": None if np.isnan(heard) else round(100 * heard, 1)}
        if facts:
            row |= {"full_bend": _rounded(full_bend(instrument, tuning)), "after_rpn_7": _rounded(full_bend(instrument, tuning, ANNOUNCED))}
            full_bend(instrument, tuning, 2)  # as it was
            row |= probe(instrument, tuning, bends=(row["full_bend"] or 0.0) > 0.1)
        for mode in modes:
            yield row | {"mode": mode, **_take(instrument, name, mode, melody, tuning)}


def _rounded(semitones: float) -> float | None:
    return None if np.isnan(semitones) else round(semitones, 2)


def _take(instrument: Instrument, name: str, mode: Mode, melody: Melody, tuning: float) -> dict:
    try:
        said = settings_for(name, mode)
    except SettingsError as error:
        return {"refused": str(error)}
    score = score_of(melody.sung, mode, said)
    sound = instrument.play(score, len(melody.sung) * HOP_S + 0.3)
    return {"bend_range": said.bend_range, **compare(sound, melody, score, tuning)}


# --- the figures


def verdict(row: dict) -> str:
    """``refused``, ``silent``, ``does not bend``, or whether what must be reached is."""
    from rt_melody.realtime.settings.synths import SYNTHS

    if "refused" in row:
        return "refused"
    if row["sounds"] < 0.5:
        return "silent"
    if SYNTHS[row["synthesiser"]].bend is None:
        return "does not bend"
    median, p90 = (np.inf if row[key] is None else row[key] for key in ("median_cents", "p90_cents"))
    return "in tune" if median <= MEDIAN_CENTS and p90 <= P90_CENTS else "out of tune"


def table(rows: list[dict]) -> str:
    columns = {
        "synthesiser": "synthesiser", "version": "version", "mode": "mode", "bend_range": "bend range", "median_cents": "median cents",
        "p90_cents": "p90 cents", "heard": "heard", "tuning_cents": "own tuning, cents", "full_bend": "full bend",
        "after_rpn_7": "after RPN 0 = 7",
    }  # fmt: skip
    return markdown((*columns.values(), ""), [(*(row.get(key) for key in columns), verdict(row)) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=INSTRUMENTS, default=list(INSTRUMENTS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    check_files(parser, out=args.out, table=args.table)
    melody, rows, missing = make_melody(), [], {}
    with TemporaryDirectory() as folder, closing(JackServer(Path(folder), PERIOD_SAMPLES)) as server:
        for name in args.only:
            try:
                for row in measure(name, server, melody):
                    print(row, flush=True)
                    rows.append(row)
            except RigMissing as error:
                missing[name] = str(error)
                print(f"{name}: {error}", flush=True)
    if args.out:
        write_result(args.out, rows, "a melody as synthesisers sound it, in cents", missing=missing)
    if args.table:
        args.table.write_text(f"# The melody as it sounds on each synthesiser\n\n{table(rows)}\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
