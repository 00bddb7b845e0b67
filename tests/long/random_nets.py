"""Random functions, many of them: eager, compiled and loaded agree bit for bit and are close to
NumPy.

    python tests/long/random_nets.py [--count 2000] [--first 0]"""

import argparse
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.acceptance.test_random_nets import check


def main() -> None:
    """Check so many nets; name those that fail, and end with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    failed, symbolic = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(given.first, given.first + given.count)):
            try:
                symbolic += check(seed, Path(folder))
            except Exception as error:  # every kind is a finding; the next seed goes on
                failed.append(seed)
                tqdm.write(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
    print(
        f"{given.count} nets, {symbolic} with symbolic sizes, {len(failed)} failed: {failed[:20]}"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
