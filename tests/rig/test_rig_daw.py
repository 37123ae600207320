"""What a DAW has on its track is what was sent; what was sent is what was sung. By MPE, which says the most."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rig_ardour import ArdourTake, find_ardour
from rig_fluidsynth import messages_of, render
from rig_voice import sung_phrase

from rt_melody.benchmarks.rig.instruments import CLARINET
from rt_melody.benchmarks.rig.midi_reader import seconds_since
from rt_melody.benchmarks.rig.studio import HERE, SAMPLE_RATE, Talker, wait_until
from rt_melody.benchmarks.synths import HOP_S, MEDIAN_CENTS, P90_CENTS, compare, make_melody, score_of
from rt_melody.realtime.settings import MidiSettings

sys.path.append(str(Path(__file__).parents[1]))
from mpe_reader import PRESSURE, TIMBRE, MpeReader

NOTES = (57, 64, 60)
JITTER_S = 0.1  # Ardour dates events within two of JACK's periods, 11 ms; more where the machine stalls
AROUND_S = 0.005  # what is sent with a note, before and after it


@pytest.fixture
def jack_server(mortal_jack_server):
    """A server for each test: one whose Ardour ends amid an export stays in JACK's freewheel mode, and lets nobody else in."""
    return mortal_jack_server


@pytest.fixture
def ardour_take(jack_server, tmp_path, children, rig):
    def begin(*source: str) -> ArdourTake:
        children.append(ArdourTake(jack_server, tmp_path, *source))
        return children[-1]

    with rig():
        find_ardour()

    return begin


def voice_messages(messages: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """From the first note to the end of the last, without announcements."""
    begun_s = next(s for s, m in messages if m[0] & 0xF0 == 0x90) - AROUND_S
    ended_s = max(s for s, m in messages if m[0] & 0xF0 == 0x80) + AROUND_S
    parameters = (6, 38, 100, 101)
    return [(s, m) for s, m in messages if begun_s <= s <= ended_s and not (m[0] & 0xF0 == 0xB0 and m[1] in parameters)]


def by_channel(messages: list[tuple[float, bytes]]) -> dict[int, list]:
    """Messages in order, per status byte: of one moment, a track keeps kinds in any order, and of each bend or value the last."""
    found: dict[int, list] = {}
    for at_s, message in messages:
        same = found.setdefault(message[0], [])
        if same and same[-1][0] == at_s and message[0] & 0xF0 in (0xB0, 0xD0, 0xE0):
            same.pop()
        same.append((at_s, message))
    return found


def test_ardour_records_what_was_sent_and_an_mpe_reader_hears_what_was_sung(
    jack_server, microphone, recorder, run_melody, ardour_take
):
    sung = sung_phrase(notes=NOTES)
    mic, heard = microphone(jack_server, sung.samples, sung.sample_rate), recorder(jack_server)
    program = run_melody("--input", "mic", "--device", "singer", "--midi-out", "--mode", "mpe", env=jack_server.env)
    mic.wait_for_listener(60, program)
    heard.wait_for_source(60, program)
    wait_until(lambda: bool(heard.messages), 60, "the announcement of the zone")
    daw = ardour_take()
    daw.wait_for_recording()
    first_frame = mic.play()
    mic.wait_for_end()
    wait_until(lambda: mpe_of(heard).sounding == [], 10, "the last note-off")
    taken = messages_of(daw.stop())
    assert_one_value_a_moment(taken)
    program.signal()
    assert program.wait(120) == 0, program.stderr
    sent = seconds_since(first_frame, heard.messages, SAMPLE_RATE)
    assert_same(voice_messages(sent), voice_messages(taken))
    assert_sung(mpe_of(heard), NOTES)


def mpe_of(heard) -> MpeReader:
    reader = MpeReader()
    for _, message in heard.messages:
        reader.take(message)
    return reader


def assert_same(sent: list, taken: list) -> None:
    """Every note, bend, pressure and controller of each channel, in order; in time but for the constant of the roll."""
    ours, theirs = by_channel(sent), by_channel(taken)
    assert {key: [m for _, m in events] for key, events in theirs.items()} == {
        key: [m for _, m in events] for key, events in ours.items()
    }
    late_s = [b[0] - a[0] for key in ours for a, b in zip(ours[key], theirs[key])]
    assert np.ptp(late_s) <= JITTER_S


def assert_sung(reader: MpeReader, notes: tuple[int, ...]) -> None:
    """Each note on a channel of its own, at last within a vibrato of what was sung, with pressure and timbre."""
    assert len({note.channel for note in reader.notes}) == len(reader.notes) >= len(notes)
    ends = [note.end_pitch for note in reader.notes]
    assert all(min(abs(end - note) for end in ends) < 0.5 for note in notes)
    assert all(note.start[PRESSURE] > 0 and note.start[TIMBRE] > 0 for note in reader.notes)
    assert reader.sounding == []


@pytest.mark.parametrize(("mode", "bend_range"), [("bend", 12), ("mpe", 48)])
def test_a_take_of_ardour_replayed_into_fluidsynth_sounds_as_sung(
    jack_server, children, ardour_take, sound_font, tmp_path, mode, bend_range
):
    """The take holds what the MIDI output sends from its start on, exact to the frame; what its file says is played again."""
    melody, said = make_melody(), MidiSettings(mpe=mode == "mpe", bend_range_semitones=bend_range, loudness="off", brightness="off")
    sent, path = score_of(melody.sung, mode, said), tmp_path / "score.jsonl"
    path.write_text("".join(json.dumps([at_s, m.hex()]) + "\n" for at_s, m in sent))
    player = Talker([sys.executable, str(HERE / "jack_take.py")], jack_server.env)
    children.append(player)
    player.expect("ready", 20)
    daw = ardour_take("player:out")
    daw.wait_for_recording()
    player.tell(f"{path} {len(melody.sung) * HOP_S + 0.5} {tmp_path / 'silence.npy'}")
    player.expect("taken", 60)
    taken = messages_of(daw.stop())
    assert_one_value_a_moment(taken)
    first_s, first_sent_s = (next(at_s for at_s, m in messages if m[0] & 0xF0 == 0x90) for messages in (taken, sent))
    shift_s = first_s - first_sent_s
    score = [(max(0.0, at_s - shift_s), m) for at_s, m in taken]
    sound, rate = render(score, sound_font, tmp_path, CLARINET)
    assert rate == SAMPLE_RATE
    found = compare(np.pad(sound, (0, 2 * rate)), melody, score, tuning=0.0)
    assert found["median_cents"] <= MEDIAN_CENTS and found["p90_cents"] <= P90_CENTS, found


def assert_one_value_a_moment(taken: list[tuple[float, bytes]]) -> None:
    """Number, data entry and null of each parameter are all there, each at a time of its own: in any order at one time they
    would say something else."""
    steps: dict[int, dict[float, set[int]]] = {}
    for at_s, m in taken:
        if m[0] & 0xF0 == 0xB0 and m[1] in (6, 100, 101):
            steps.setdefault(m[0] & 0x0F, {}).setdefault(at_s, set()).add(m[1])
    assert steps
    for moments in steps.values():
        assert all(said in ({6}, {100, 101}) for said in moments.values()), moments
        assert sum(said == {6} for said in moments.values()) >= 1
