"""``rt-melody setup``: a made singer in place of the microphone, whose room, levels and range are known."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from fake_audio import FakeAudio
from fake_singer import HIGHEST, LOUD_DB, LOWEST, ROOM_DB, SOFT_DB, five_things

from rt_melody.realtime import calibration
from rt_melody.realtime.calibration import PHASE_S, PHASES, SETTLE_S, Guide, Taken, calibrate
from rt_melody.realtime.cli import main
from rt_melody.realtime.commands import setup
from rt_melody.realtime.settings import make_settings, profiles
from rt_melody.realtime.sources import FileSource, devices
from rt_melody.realtime.types import PitchFrame

RATE = 16000


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> str:
    """Twenty seconds as ``setup`` asks for them."""
    path = tmp_path_factory.mktemp("setup") / "five.wav"
    soundfile.write(path, five_things(RATE), RATE, subtype="FLOAT")
    return str(path)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "profile_folder", lambda: tmp_path / "profiles")
    return tmp_path / "profiles"


@pytest.mark.slow
def test_the_profile_fits_the_voice_and_the_room(session, folder, capsys):
    assert main(["setup", "alto", "--input", session, "--no-load"]) == 0
    told = capsys.readouterr().out
    assert all(phase.ask in told for phase in calibration.PHASES) and f"Kept in {folder / 'alto.yaml'}." in told
    played = make_settings(base=profiles.profile_values(["alto"])).performance
    assert (played.lowest, played.highest) == (LOWEST - 2, HIGHEST + 2)
    assert ROOM_DB + 3 < float(played.gate) < SOFT_DB - 3
    low_db, high_db = played.velocity_range
    assert played.velocity.velocity(SOFT_DB) < 45 and 90 < played.velocity.velocity(LOUD_DB) < 127
    assert low_db < SOFT_DB and high_db > LOUD_DB - 3


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["list"], "a profile cannot be called list"),
        (["--device", "3"], "--device chooses a microphone, and --input is a recording"),
        (["--channel", "2"], "channel 2"),
        (["--channel", "0"], "--channel 0 cannot be used: it must be at least 1"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_sings(words, sentence, session, capsys):
    assert main(["setup", *words, "--input", session, "--no-load"]) == 2
    out, err = capsys.readouterr()
    assert sentence in err and out == ""


def test_without_a_microphone_a_recording_of_the_five_things_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(devices, "load_backend", lambda: FakeAudio([]))
    assert main(["setup", "--no-load"]) == 2
    out, err = capsys.readouterr()
    assert "plug in a microphone, or give a recording of the five things: --input FILE" in err and "demo" not in err and out == ""


def test_a_place_where_no_profile_can_be_kept_is_told_before_anybody_sings(session, folder, capsys):
    folder.write_text("a file stands there")
    assert main(["setup", "--input", session, "--no-load"]) == 2
    out, err = capsys.readouterr()
    assert f"no profile can be kept in {folder}" in err and out == ""


@pytest.mark.slow
def test_who_does_not_sing_is_told_which_and_nothing_is_kept(tmp_path, folder, capsys):
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / "noise.wav", 0.001 * rng.standard_normal(round(20 * RATE)), RATE)
    assert main(["setup", "--input", str(tmp_path / "noise.wav"), "--no-load"]) == 2
    assert "no voice was heard where it should be soft" in capsys.readouterr().err and not list(folder.iterdir())


@pytest.mark.slow
def test_a_phase_that_was_missed_is_asked_for_again(session):
    """As of a microphone: silence first, then the five things."""
    samples, rate = soundfile.read(session)
    said: list[str] = []
    silence = np.zeros(round(PHASE_S * rate), np.float32)
    song = np.concatenate([silence, silence, samples[round(PHASE_S * rate) :].astype(np.float32)])
    blocks = np.split(song, len(song) // (rate // 10))

    class Microphone(FileSource):
        def __enter__(self):
            self.sample_rate, self.given = rate, 0
            return self

        def __exit__(self, *_):
            pass

        def read(self, timeout_s=0.1):
            self.given += 1
            return blocks[self.given - 1] if self.given <= len(blocks) else None

        @property
        def position_samples(self):
            return self.given * (rate // 10)

    late = Microphone(session)
    found = setup.listen_through(late, said.append, 2, None)
    assert [line for line in said if line.endswith("once more:")] and said.count("Sing or hum softly, any notes. (4 s)") == 2
    assert (found.lowest, found.highest) == (LOWEST - 2, HIGHEST + 2)


def taken(levels_db: list[float], note: float | None = None) -> Taken:
    """100 hops of those levels, sung where there is a note."""
    heard = Taken()
    for level_db in np.resize(levels_db, 100):
        f0_hz = 440.0 * 2 ** (((note or 69) - 69) / 12)
        heard.take(PitchFrame(0, 0.0, 0.0, f0_hz, note is not None, 0.9, 0.1 if note is None else 0.9, float(level_db)))
    return heard


def five(room_db: float, soft_db: float, loud_db: float, lowest: float = 45, highest: float = 69) -> dict[str, Taken]:
    return {
        "quiet": taken([room_db]), "soft": taken([soft_db], 60), "loud": taken([loud_db], 60),
        "lowest": taken([-30.0], lowest), "highest": taken([-30.0], highest),
    }  # fmt: skip


@pytest.mark.parametrize(
    "room_db, soft_db, gate_db", [(-70, -40, -58), (-60, -48, -54), (-60, -51, -57), (-60, -52, None), (-40, -45, None)]
)
def test_the_gate_stands_between_the_room_and_the_soft_voice_where_there_is_space(room_db, soft_db, gate_db):
    found = calibrate(five(room_db, soft_db, -15))
    assert found.gate_db == gate_db and ("No gate" in " ".join(found.lines())) == (gate_db is None)


def test_lowest_and_highest_may_be_sung_the_other_way_round():
    found = calibrate(five(-70, -40, -15, lowest=70.2, highest=44.6))
    assert (found.lowest, found.highest) == (43, 72)


@pytest.mark.parametrize("bound_ms, kept", [(20, 50), (75, 75)])
def test_a_machine_that_is_slow_gets_its_bound_and_a_quick_one_the_usual(bound_ms, kept, folder):
    found = calibrate(five(-70, -40, -15), bound_ms)
    profiles.write_profile("mine", found.profile("heading"))
    assert make_settings(base=profiles.profile_values(["mine"])).tracking.latency_ms == kept
    assert f"keeps a bound of {bound_ms} ms" in found.lines()[-1]


def test_breath_counts_only_once_it_is_a_voice():
    assert not Taken().is_sung and not taken([-30.0]).is_sung and taken([-30.0], 60).is_sung


# --- the guide


def phase_of(guide, note, first_s, seconds=PHASE_S):
    """Frames of one note, 0 for none, from that time on; the times at which the guide asked for something else."""
    times = first_s + 0.01 * np.arange(round(100 * seconds))
    f0_hz, sure = (440.0 * 2 ** ((note - 69) / 12), 0.9) if note else (100.0, 0.1)
    return [round(t, 2) for t in times if guide.feed(PitchFrame(0, t, t, f0_hz, False, 0.9, sure, -20.0))]


def test_the_guide_asks_for_one_after_the_other_and_takes_what_a_pause_made_unvoiced():
    guide, asked = Guide(), []
    for number, note in enumerate((0, 60, 62, 45, 69)):
        asked += phase_of(guide, note, number * PHASE_S)
        assert guide.phase == PHASES[number] and not guide.again
    assert asked == [4.0, 8.0, 12.0, 16.0] and not guide.is_over
    assert phase_of(guide, 0, 5 * PHASE_S, 1.0) == [20.0] and guide.is_over and not guide.failed
    kept = round(100 * (PHASE_S - SETTLE_S))
    assert [len(guide.taken[phase.name].levels_db) for phase in PHASES] == [kept] * 5
    assert [len(guide.taken[phase.name].pitches) for phase in PHASES] == [0] + [kept] * 4
    found = calibrate(guide.taken)
    assert (found.lowest, found.highest) == (43, 71)


def test_the_guide_asks_again_and_then_no_more():
    guide = Guide(tries=2)
    phase_of(guide, 0, 0.0)
    phase_of(guide, 0, 4.0)
    assert not guide.again and phase_of(guide, 0, 8.0) == [8.0] and guide.again and guide.phase == PHASES[1]
    assert phase_of(guide, 60, 12.0) == [12.0] and guide.failed and guide.is_over and guide.phase == PHASES[1]


def test_a_stream_that_begins_anew_begins_the_phase_anew():
    guide = Guide()
    phase_of(guide, 0, 100.0)
    phase_of(guide, 60, 104.0, 2.0)
    assert phase_of(guide, 60, 0.0) == [] and guide.phase == PHASES[1] and phase_of(guide, 60, 4.0, 0.1) == [4.0]
