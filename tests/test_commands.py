"""The table of commands: each leads to a module that runs, and words that are none are told so."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from rt_melody.realtime import commands
from rt_melody.realtime.cli import main


@pytest.fixture
def sung(monkeypatch) -> list[list[str]]:
    """The words that the command ``warble`` was given, which ends with status 7."""
    given: list[list[str]] = []
    module = ModuleType("warbling")
    module.run = lambda words: given.append(words) or 7
    monkeypatch.setitem(sys.modules, "warbling", module)
    monkeypatch.setitem(commands.COMMANDS, "warble", ("warbling", "sings"))
    return given


def test_every_command_has_a_module_that_runs():
    for name in commands.COMMANDS:
        assert callable(commands.find_command([name, "--help"]))


def test_the_first_word_chooses_the_command_which_gets_the_rest(sung):
    assert main(["warble", "--loud", "a.wav"]) == 7
    assert sung == [["--loud", "a.wav"]]


def test_an_option_before_it_makes_it_a_word_that_stands_alone(sung, capsys):
    assert main(["--quiet", "warble"]) == 2
    assert sung == [] and "'warble' stands alone" in capsys.readouterr().err


def test_a_word_that_is_nearly_a_command_is_told_which(sung, capsys):
    assert main(["warbel"]) == 2
    assert "did you mean the command warble?" in capsys.readouterr().err


def test_help_lists_the_commands(sung, capsys):
    assert main(["--help"]) == 0
    assert "rt-melody warble" in capsys.readouterr().out
