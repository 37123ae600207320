"""What a build of rt-melody takes, measured in a process of its own. See ``against``, which hands this text to an interpreter.

Run as ``python -c TEXT WHAT WORDS...``; what was measured goes out as one line of JSON. It uses only what every build since
805465d has, so that an older one can be measured as well, and is never imported: where it lies, another build may be installed.

hop SOUND RATE [MODEL]    seconds of each hop's samples from their arrival to the notes, with nothing between
pace SOUND RATE [MODEL]   the same at the true pace, asleep between the hops; and the share of a core
file WORDS...             the command with these words: its CPU, the clock is the caller's, and its peak memory in MB
"""

import atexit
import gc
import json
import sys
import time
from importlib.metadata import entry_points


def chain(rate, *model):
    """From samples to frames and notes, as this build has it."""
    try:
        from rt_melody.realtime.melody import MelodyTracker
    except ImportError:
        from rt_melody.realtime.engine import Engine
        from rt_melody.realtime.notes import NoteTracker
        from rt_melody.realtime.playing.performance import Performer

        engine = Engine(rate)
        performer = Performer(NoteTracker(hop_s=engine.hop_s))
        engine.warm_up()
        return lambda samples: [(frame, performer.feed(frame)) for frame in engine.feed(samples)], engine.hop_s
    tracker = MelodyTracker.from_settings(None, rate, *model)
    tracker.warm_up()
    return tracker.feed, tracker.hop_s


def hops(path, rate, *model):
    """The chain, and the sound in its hops."""
    import numpy as np

    feed, hop_s = chain(rate, *model)
    sound, hop = np.load(path), round(hop_s * rate)
    return feed, hop_s, [sound[start : start + hop] for start in range(0, len(sound) - hop + 1, hop)]


def hop(path, rate, *model):
    feed, _, blocks = hops(path, int(rate), *model)
    gc.disable()
    return {"hops_s": [timed(feed, block) for block in blocks]}


def pace(path, rate, *model):
    feed, hop_s, blocks = hops(path, int(rate), *model)
    gc.disable()
    seconds, used_s, next_s = [], time.process_time(), time.perf_counter()
    began_s = next_s
    for block in blocks:
        next_s = max(next_s + hop_s, time.perf_counter())
        while (left_s := next_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        seconds.append(timed(feed, block))
    return {"hops_s": seconds, "cpu_share": (time.process_time() - used_s) / (time.perf_counter() - began_s)}


def timed(feed, block):
    began_s = time.perf_counter()
    feed(block)
    return time.perf_counter() - began_s


def file(*words):
    """Ends the process, as the command does; what there is to tell is told on the way."""
    sys.argv[:] = ["rt-melody", *words]
    atexit.register(lambda: print(json.dumps({"peak_mb": peak_mb(), "cpu_s": time.process_time()}), flush=True))
    sys.exit(next(iter(entry_points(group="console_scripts", name="rt-melody"))).load()())


def peak_mb():
    """Peak resident memory of this process; None where the system does not tell. getrusage would tell the peak of the process
    that started this one, where that was larger."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


print(json.dumps({"hop": hop, "pace": pace, "file": file}[sys.argv[1]](*sys.argv[2:])), flush=True)
