"""What the benchmarks print."""

from __future__ import annotations

from rt_melody.benchmarks import endings, losses, report
from rt_melody.benchmarks.rig.midi_reader import begins_note, hanging
from rt_melody.benchmarks.rig.studio import RigMissing, last_words, status_of


def test_median_and_most_are_of_what_is_known():
    assert report.median_and_most([3.0, None, 1.0, 2.0]) == "2.00 / 3.00"
    assert report.median_and_most([None]) == ""


def test_a_table_of_losses_counts_those_that_failed_by_what_was_lost():
    kind = next(iter(losses.KINDS))
    trials = [losses.Trial(kind, 0, 3.0, said_s=0.5, back_s=1.0), losses.Trial(kind, 1, 3.0, said_s=None, back_s=None, fault="not said")]
    assert losses.table(trials).splitlines()[-1] == f"| {kind} | 2 | 1 | 0.50 / 0.50 | 1.00 / 1.00 |"


def test_a_table_of_endings_has_a_row_for_all():
    assert endings.table([]).splitlines()[-1] == "| all | 0 | 0 |  |  |"


def test_a_note_hangs_that_no_message_has_ended_on_its_channel():
    on, off, begun_by_nothing = b"\x90\x3c\x40", b"\x80\x3c\x00", b"\x90\x3c\x00"
    assert [begins_note(message) for message in (on, off, begun_by_nothing, b"\xb0\x7b\x00")] == [True, False, False, False]
    other = b"\x93\x40\x01"
    assert hanging([on, other]) == [60, 64] and hanging([b"\xf8", b"", on, other, off]) == [64]
    assert hanging([on, begun_by_nothing]) == hanging([on, b"\xb0\x7b\x00"]) == [] and hanging([on, b"\x81\x3c\x00"]) == [60]


def test_a_command_of_the_rig_says_which_piece_is_missing(capsys):
    def main() -> int:
        raise RigMissing("`jackd` is not installed")

    assert status_of(main) == 2 and capsys.readouterr().err == "cannot be tried here: `jackd` is not installed\n"
    assert status_of(lambda: 1) == 1


def test_last_words_are_the_end_of_what_was_said_and_no_more(tmp_path):
    (tmp_path / "said").write_bytes(b"x" * 10_000 + b"\xc3\xa4" * 700 + b"the end")
    words = last_words(tmp_path / "said")
    assert words.endswith("ä" * 700 + "the end") and len(words.encode()) <= 1500 + 2 and "x" in words
    (tmp_path / "said").write_bytes(b"short")
    assert last_words(tmp_path / "said") == "short"
