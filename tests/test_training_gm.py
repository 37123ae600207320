"""General MIDI pieces: what is arranged, what is written as MIDI, and, where FluidSynth is, what sounds."""

import struct

import numpy as np
import pytest

from rt_melody.models.training import gm
from rt_melody.models.training.data import SAMPLE_RATE, DataError

played = pytest.mark.skipif(not gm.available(), reason="needs the command fluidsynth, a SoundFont and mido")


def sounding(piece):
    """Notes of the parts that are no drums."""
    return [note for part in piece.parts if not part.drums for note in part.notes]


@pytest.mark.parametrize("seed", range(0, 40, 7))
def test_a_piece_stays_in_its_key_and_lasts(seed):
    piece = gm.arrange(seed, 10.0)
    classes = {note.pitch % 12 for note in sounding(piece)}
    assert len(classes) <= 7
    last = max(note.beat + note.beats for part in piece.parts for note in part.notes)
    assert last * 60 / piece.tempo_bpm > 9.0
    assert 60 <= piece.tempo_bpm <= 180


def test_pieces_differ_by_seed_and_by_nothing_else():
    assert gm.arrange(3, 8.0) == gm.arrange(3, 8.0)
    assert gm.arrange(3, 8.0) != gm.arrange(4, 8.0)


def test_no_voice_carries_a_melody():
    assert not set(gm.VOICES) & set(gm.MELODY_PROGRAMS)
    assert all(0 <= p < 128 for p in (*gm.MELODY_PROGRAMS, *gm.CHORD_PROGRAMS, *gm.BASS_PROGRAMS))


def test_harmony_counts_up_the_scale():
    """C major from A2 (45) up: the first tonic is C3 = 48; its third note E3, its eighth C4."""
    harmony = gm.Harmony(0, gm.SCALES["major"], (0, 4))
    assert [harmony.pitch(step, 45) for step in (0, 2, 7)] == [48, 52, 60]
    assert [harmony.degree(bar) for bar in range(3)] == [0, 4, 0]


def test_the_midi_file_holds_every_note_at_its_time():
    pytest.importorskip("mido")
    piece = gm.Piece(120.0, [gm.Part(5, [gm.Note(1.0, 0.5, 60, 90), gm.Note(2.0, 1.0, 64, 80, scoop=-1.0)], 100)])
    score, now, on, off, bends = gm.midi_file(piece), 0.0, [], [], []
    for message in score:
        now += message.time
        if message.type == "note_on":
            on.append((now, message.note, message.velocity))
        if message.type == "note_off":
            off.append((now, message.note))
        if message.type == "pitchwheel":
            bends.append(message.pitch)
    assert on == [(pytest.approx(0.5), 60, 90), (pytest.approx(1.0), 64, 80)]
    assert off == [(pytest.approx(0.75), 60), (pytest.approx(1.5), 64)]
    assert bends[0] == -4095 and bends[-1] == 0 and bends == sorted(bends)


def test_every_note_on_has_its_off_in_random_pieces():
    pytest.importorskip("mido")
    for seed in range(5):
        counts = {"note_on": 0, "note_off": 0}
        for message in gm.midi_file(gm.arrange(seed, 5.0)):
            if message.type in counts:
                counts[message.type] += 1
        assert counts["note_on"] == counts["note_off"] > 0


@played
def test_a_rendering_is_the_same_every_time_and_has_its_form():
    first, second = gm.render(5, 2.0), gm.render(5, 2.0)
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32 and len(first) == 2 * SAMPLE_RATE and np.abs(first).max() == pytest.approx(0.5)


@played
def test_a_note_sounds_at_its_pitch(monkeypatch):
    """A4 on a flute: the spectrum's strongest line is 440 Hz or an octave of it."""
    piece = gm.Piece(60.0, [gm.Part(73, [gm.Note(0.0, 4.0, 69, 100)], 100)])
    monkeypatch.setattr(gm, "arrange", lambda seed, seconds: piece)
    sound = gm.render(0, 2.0)[SAMPLE_RATE // 2 :]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    octaves = np.log2(spectrum.argmax() * SAMPLE_RATE / len(sound) / 440.0)
    assert octaves == pytest.approx(round(octaves), abs=0.01)


@played
def test_the_command_fills_a_folder_and_keeps_what_is_there(tmp_path):
    options = ["--out", str(tmp_path / "gm"), "--seconds", "1"]
    gm.main([*options, "--count", "1"])
    (kept,) = (tmp_path / "gm").iterdir()
    before = kept.stat().st_mtime_ns
    gm.main([*options, "--count", "2"])
    pieces = gm.load_gm(tmp_path / "gm")
    assert [len(p) for p in pieces] == [SAMPLE_RATE, SAMPLE_RATE] and kept.stat().st_mtime_ns == before
    np.testing.assert_allclose(pieces[0], gm.render(1, 1.0), atol=1e-4)


def write_soundfont(path, presets):
    """A SoundFont 2 as far as its presets go: an odd chunk, samples, and a header record for each (bank, program)."""
    records = b"".join(struct.pack("<20sHHHIII", b"x", program, bank, 0, 0, 0, 0) for bank, program in [*presets, (0, 0)])

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    lists = (b"INFO" + chunk(b"INAM", b"odd"), b"sdta" + chunk(b"smpl", bytes(64)), b"pdta" + chunk(b"phdr", records))
    path.write_bytes(chunk(b"RIFF", b"sfbk" + b"".join(chunk(b"LIST", data) for data in lists)))
    return path


GENERAL_MIDI = [*((0, program) for program in range(128)), (128, 0)]


def test_a_soundfont_is_chosen_by_what_it_holds(tmp_path, monkeypatch):
    write_soundfont(tmp_path / "a-kit.sf2", [(128, 0), (128, 8)])
    (tmp_path / "b-text.sf2").write_text("no SoundFont at all")
    write_soundfont(tmp_path / "c-piano.sf2", [(0, 0), (128, 0)])
    write_soundfont(tmp_path / "d-mute.sf2", GENERAL_MIDI[:-1])
    monkeypatch.delenv(gm.SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setattr(gm, "SOUNDFONTS", (str(tmp_path / "*.sf2"),))
    with pytest.raises(DataError) as lost:
        gm.find_soundfont()
    for said in (
        "a-kit.sf2 which lacks 128 of",
        "b-text.sf2 which is no",
        "c-piano.sf2 which lacks 127 of",
        "such as 1 (",
        "d-mute.sf2 which has no drums",
    ):
        assert said in str(lost.value)
    whole = write_soundfont(tmp_path / "e-general.sf2", GENERAL_MIDI)
    write_soundfont(tmp_path / "f-general.sf2", GENERAL_MIDI)
    assert gm.find_soundfont() == whole and gm.read_presets(whole) == set(GENERAL_MIDI)
    monkeypatch.setenv(gm.SOUNDFONT_VARIABLE, str(tmp_path / "a-kit.sf2"))
    with pytest.raises(DataError, match="lacks 128 of General MIDI's 128 programs"):
        gm.find_soundfont()


def test_what_is_missing_is_said_in_a_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(DataError, match="holds no pieces"):
        gm.load_gm(tmp_path)
    monkeypatch.setenv(gm.SOUNDFONT_VARIABLE, str(tmp_path / "no.sf2"))
    with pytest.raises(DataError, match="is no file"):
        gm.find_soundfont()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        gm.main(["--out", str(tmp_path / "x"), "--count", "1"])
    assert left.value.code == 2 and "install it" in capsys.readouterr().err
