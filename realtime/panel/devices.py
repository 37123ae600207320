"""Which devices and ports there are now: asked of a process of its own, since PortAudio takes stock but once in each."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

ASK_S = 15.0


async def find_devices() -> dict[str, Any]:
    """{"inputs": [[number, name, whether it is the default]], "midi": [name]}; empty lists where nothing answers."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        out, _ = await asyncio.wait_for(child.communicate(), ASK_S)
        return json.loads(out)
    except (asyncio.TimeoutError, ValueError):
        return {"inputs": [], "midi": []}
    finally:
        if child.returncode is None:
            child.kill()


def main() -> None:
    """Print them."""
    from rt_melody.realtime.errors import RtMelodyError
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs
    from rt_melody.realtime.sources.devices import list_audio_inputs

    found: dict[str, Any] = {"inputs": [], "midi": []}
    try:
        found["inputs"] = [[one.index, one.full_name, one.is_default] for one in list_audio_inputs()]
    except RtMelodyError:
        pass
    try:
        found["midi"] = list_midi_outputs()
    except RtMelodyError:
        pass
    print(json.dumps(found))


if __name__ == "__main__":
    main()
