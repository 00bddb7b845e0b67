"""One peer of one workload in a process of its own: sets up, then times a round when told to.

It prints one JSON object for each line: first the answer of its first calls and how long the first
took, or why there is none; then, for every line `seconds` that it reads, the samples of a round.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.frameworks import VARIANTS
from benchmarks.workloads import WORKLOADS

CHECKED_CALLS = 3
CHECKED_NUMBERS = 8
SHORTEST_SAMPLE = 1e-3  # seconds: faster calls are timed several at once
WARM_UP = 0.2


def numbers(result: Any) -> list[float]:
    """The first few numbers of a result, whatever peer it comes from."""
    if hasattr(result, "detach"):
        result = result.detach().cpu().numpy()
    if hasattr(result, "to_host"):
        result = result.to_host()
    return [float(x) for x in np.asarray(result).ravel()[:CHECKED_NUMBERS]]


def make(workload: str, peer: str) -> Callable[[], Any]:
    """The call to time."""
    found = WORKLOADS[workload]
    if peer == "numpy":
        assert found.numpy is not None
        return found.numpy()
    return VARIANTS[peer](found.build)


def calls_per_sample(call: Callable[[], Any]) -> int:
    """Warm up, and find how many calls fill the shortest sample."""
    end, fastest = time.perf_counter() + WARM_UP, float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return max(1, round(SHORTEST_SAMPLE / fastest))


def samples(call: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds a call, sample by sample, for about as long as asked."""
    inner = calls_per_sample(call)
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(inner):
            call()
        found.append((time.perf_counter() - start) / inner)
    return found


def start_up(workload: str, peer: str) -> tuple[Callable[[], Any] | None, dict[str, Any]]:
    """Set up and make the first calls: the call, and what to report of it."""
    try:
        if peer != "numpy":
            __import__(peer.partition("_")[0])
        start = time.perf_counter()
        call = make(workload, peer)
        answer = numbers(call())
        first_call = time.perf_counter() - start
        for _ in range(CHECKED_CALLS - 1):
            answer += numbers(call())
    except ModuleNotFoundError as error:
        ours = (error.name or "").partition(".")[0] == "intaglio"
        return None, {"failed" if ours else "missing": str(error)}
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        return None, {"failed": f"{type(error).__name__}: {text[0][:160]}"}
    return call, {"answer": answer, "first_call": first_call}


def main() -> None:
    """Serve rounds until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints by itself is no part of the answer

    def say(report: dict[str, Any]) -> None:
        print(json.dumps(report), file=out, flush=True)

    call, report = start_up(sys.argv[1], sys.argv[2])
    say(report)
    if call is not None:
        for line in sys.stdin:
            say({"samples": samples(call, float(line))})


if __name__ == "__main__":
    main()
