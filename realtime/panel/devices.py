"""Which devices and ports there are now, and how long sound takes through them: asked of a process of its own, since PortAudio takes
stock but once in each."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import Any

ASK_S = 15.0


async def find_devices() -> dict[str, Any]:
    """{"inputs": [[number, name, whether it is the default]], "outputs": likewise, "midi": [name]}; empty lists where nothing answers."""
    return await _ask({}) or {"inputs": [], "outputs": [], "midi": []}


async def measure_round_trip(output: Any, device: Any, rate: int | None) -> dict[str, Any]:
    """From that output to that input, numbers or names: {"ms": as it was heard, None where it was not}, or {"error": why it cannot be
    measured}. Takes three seconds, in which chirps are played."""
    asked = {"output": output, "device": device, "rate": rate}
    return await _ask(asked) or {"error": "the round trip could not be measured, since nothing answered; try again"}


async def _ask(what: dict[str, Any]) -> dict[str, Any] | None:
    """What a process of its own says; None where it says nothing in time."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, json.dumps(what),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(child.communicate(), ASK_S)
        return json.loads(out)
    except (asyncio.TimeoutError, ValueError):
        return None
    finally:
        if child.returncode is None:
            child.kill()


def main(arguments: list[str]) -> None:
    """Print what is asked for, as JSON."""
    asked = json.loads(arguments[0])
    print(json.dumps(measured(**asked) if asked else found()))


def measured(output: Any, device: Any, rate: int | None, backend: Any = None) -> dict[str, Any]:
    """See ``measure_round_trip``."""
    from rt_melody.realtime.errors import RtMelodyError
    from rt_melody.realtime.sources.roundtrip import measure

    try:
        trip = measure(output, device, rate, backend)
    except RtMelodyError as error:
        return {"error": str(error)}
    return {"ms": None if trip is None else trip.ms}


def found() -> dict[str, Any]:
    """See ``find_devices``."""
    from rt_melody.realtime.errors import RtMelodyError
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs
    from rt_melody.realtime.sources.devices import list_audio_inputs, list_audio_outputs

    there: dict[str, Any] = {"inputs": [], "outputs": [], "midi": []}
    for kind, listed in (("inputs", list_audio_inputs), ("outputs", list_audio_outputs)):
        with suppress(RtMelodyError):
            there[kind] = [[one.index, one.full_name, one.is_default] for one in listed()]
    with suppress(RtMelodyError):
        there["midi"] = list_midi_outputs()
    return there


if __name__ == "__main__":
    main(sys.argv[1:])
