"""Random tensor programs, many of them: eager, compiled and loaded agree bit for bit; with
`--torch`, where it is installed, eager values and derivatives are compared with its.

    python tests/long/random_tensors.py [--count 2000] [--first 0] [--torch]"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.acceptance.test_random_tensors import check_torch, check_ways


def main() -> None:
    """Check so many programs; print short forms of those that fail, and end with 1 if any do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(given.first, given.first + given.count)):
            try:
                if given.torch:
                    check_torch(seed)
                else:
                    check_ways(seed, Path(folder))
            except Exception as error:  # every kind is a finding; the next seed goes on
                failed.append(seed)
                tqdm.write(f"seed {seed}: {type(error).__name__}: {str(error)[:2000]}")
    print(f"{given.count} programs, {len(failed)} failed: {failed[:20]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
