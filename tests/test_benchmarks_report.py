"""What the benchmarks print."""

from __future__ import annotations

from rt_melody.benchmarks import endings, losses, report
from rt_melody.benchmarks.rig.midi_reader import begins_note, hanging


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
