"""What the benchmarks print."""

from __future__ import annotations

from rt_melody.benchmarks import endings, losses, report


def test_median_and_most_are_of_what_is_known():
    assert report.median_and_most([3.0, None, 1.0, 2.0]) == "2.00 / 3.00"
    assert report.median_and_most([None]) == ""


def test_a_table_of_losses_counts_those_that_failed_by_what_was_lost():
    kind = next(iter(losses.KINDS))
    trials = [losses.Trial(kind, 0, 3.0, said_s=0.5, back_s=1.0), losses.Trial(kind, 1, 3.0, said_s=None, back_s=None, fault="not said")]
    assert losses.table(trials).splitlines()[-1] == f"| {kind} | 2 | 1 | 0.50 / 0.50 | 1.00 / 1.00 |"


def test_a_table_of_endings_has_a_row_for_all():
    assert endings.table([]).splitlines()[-1] == "| all | 0 | 0 |  |  |"
