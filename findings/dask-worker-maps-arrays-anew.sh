#!/usr/bin/env bash
# Version: distributed 2026.8.0, dask 2026.8.0, numpy 2.2.6, Python 3.11, glibc, Linux
# Behaviour: a worker that a nanny starts (LocalCluster, `dask worker`) has MALLOC_TRIM_THRESHOLD_=65536 in its environment, which its
#   documentation recommends for giving memory back. It gives up more than that: to glibc any value of this variable also ends the
#   growth of the mmap threshold (mallopt(3), "dynamic mmap threshold"), which then stays at 128 KiB. So every array above that is
#   mapped, faulted in page by page and unmapped anew, where the same function elsewhere is handed the same warm block again. What
#   works on arrays of a few hundred kB can take twice as long on a worker as on the client, and the profiler of the dashboard names
#   whatever line touches the array first.
#   A larger trim threshold does not help; MALLOC_MMAP_THRESHOLD_ set beside it does, and so does a pre-spawn-environ of None.
# Seen: default 65536; faults an array: client 0, worker 257, trim threshold of 256 MB 257, left out 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check distributed==2026.8.0 dask==2026.8.0 numpy==2.2.6

cat >faults.py <<'END'
import resource

import dask
import distributed
import numpy as np

NAME, NUMBER = "MALLOC_TRIM_THRESHOLD_", 1000
DEFAULT = dask.config.get(f"distributed.nanny.pre-spawn-environ.{NAME}")


def faults_an_array() -> int:
    """Page faults for making, filling and dropping an array of 1 MB, once others have been."""
    for count in range(NUMBER + 10):
        if count == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.empty(131072).fill(1.0)
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / NUMBER)


def on_worker(value: object) -> int:
    with dask.config.set({f"distributed.nanny.pre-spawn-environ.{NAME}": value}):
        with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made, distributed.Client(made) as client:
            return client.submit(faults_an_array).result()


def seen() -> list[int]:
    here = faults_an_array()
    without = on_worker(None)  # first, since a nanny leaves the variable in the environment of its own process too
    return [here, on_worker(DEFAULT), on_worker(256 * 2**20), without]


if __name__ == "__main__":
    here, worker, larger, without = seen()
    print(f"default {DEFAULT}; faults an array: client {here}, worker {worker}, trim threshold of 256 MB {larger}, left out {without}")
    assert DEFAULT == 65536 and max(here, without) <= 2 and min(worker, larger) >= 200
END
env -u MALLOC_TRIM_THRESHOLD_ -u MALLOC_MMAP_THRESHOLD_ venv/bin/python faults.py
