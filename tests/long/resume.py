"""Runs of eager training that are killed at random moments, many times: the weights at the end are
those of a run that was never stopped.

    python tests/long/resume.py [--kills 10] [--workers 0 2]
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.frontend.checkpoint_training import check_kills

STEPS_PER_KILL = 30


def main() -> None:
    """Check for each number of worker processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    given = parser.parse_args()
    for workers in given.workers:
        with tempfile.TemporaryDirectory() as folder:
            check_kills(Path(folder), given.kills, STEPS_PER_KILL * given.kills, workers)
        print(f"{workers} workers: {given.kills} kills, the weights of the whole run", flush=True)


if __name__ == "__main__":
    main()
