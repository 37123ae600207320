"""What is printed of other people's names can be seen, and does nothing else to a terminal."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from rt_melody.realtime.console import CLEAR_LINE, print_text, say, visible

HOSTILE = "song\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egpj.wav\x7f\u2028\x00"


def test_control_characters_are_written_out_and_words_left_alone():
    assert visible(HOSTILE) == "song\\x1b]0;owned\\x07\\x1b[2J\\r\\x9b31m\\u202egpj.wav\\x7f\\u2028\\x00"
    for plain in ("Mikrofon (Gerät), 日本語 🎤", "a\nb\tc", "", "C:\\song.wav"):
        assert visible(plain) == plain
    assert visible("two\nlines\t.wav", kept="") == "two\\nlines\\t.wav"


@pytest.mark.parametrize("print_it", [say, print_text])
def test_nothing_that_a_terminal_obeys_leaves_the_program(print_it, capsys):
    print_it(f"{HOSTILE} cannot be read\n")
    said = "".join(capsys.readouterr())
    assert "song\\x1b]0;owned" in said and "cannot be read" in said
    assert not set(said) & set("\x1b\x07\r\x9b\u202e\x7f\u2028\x00")


def test_letters_that_the_output_has_not_are_written_out(monkeypatch):
    whole = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(whole, "ascii"))
    assert print_text("Gerät 🎤\n") == 0
    assert whole.getvalue() == b"Ger\\xe4t \\U0001f3a4\n"


def test_while_libraries_are_kept_from_the_standard_error_what_we_say_is_said():
    code = """
import os, threading
from rt_melody.realtime.console import say, without_stderr
inside, leave = threading.Event(), threading.Event()
def other():
    with without_stderr():
        inside.set()
        leave.wait()
thread = threading.Thread(target=other)
with without_stderr():
    thread.start()
    inside.wait()
    os.write(2, b"ALSA lib\\n")
    say("the input was lost")
os.write(2, b"ALSA lib again\\n")
say("it is back")
leave.set()
thread.join()
os.write(2, b"the end\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "rt-melody: the input was lost\nrt-melody: it is back\nthe end\n"


def test_our_own_command_to_clear_the_line_is_obeyed(capsys):
    say("the port is back", over_line=True)
    assert capsys.readouterr().err == f"{CLEAR_LINE}rt-melody: the port is back\n"
