"""What is said of how the instrument of ``--listen`` is heard."""

from __future__ import annotations

BREATH = "a breath of noise is played, by which the room is learnt: sing after it"


def heard_through(output: str) -> str:
    """Where the instrument is heard."""
    return f"you hear the melody through {output}"


def said_of_own(output: str) -> str:
    """Where the instrument is heard by an output of its own, while a microphone listens."""
    return f"{heard_through(output)}: wear headphones, or the microphone hears it too"


def said_of_shared(output: str) -> str:
    """Where the microphone's stream plays it."""
    return f"{heard_through(output)}, and what the microphone hears of it is taken out; headphones are better still"
