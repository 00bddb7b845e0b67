"""Random convolutional and recurrent networks, many of them: eager, compiled and loaded agree bit
for bit, forward and while training.

    python tests/long/random_models.py [--count 200] [--first 0] [--kind images|sequences]

With INTAGLIO_CFLAGS=-O0 in the environment the compiler takes less of the time."""

import argparse
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.acceptance.test_random_models import check_images, check_sequences


def main() -> None:
    """Check so many nets; name those that fail, and end with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", choices=("images", "sequences"), default="images")
    given = parser.parse_args()
    check = check_images if given.kind == "images" else check_sequences
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(given.first, given.first + given.count)):
            try:
                check(seed, Path(folder))
            except Exception as error:  # every kind is a finding; the next seed goes on
                failed.append(seed)
                tqdm.write(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
    print(f"{given.count} nets, {len(failed)} failed: {failed[:20]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
