"""Damaged files of torch's: every truncation and many changes, of which none gives anything but
`DataError`.

    python tests/long/torch_files.py --count 2000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runtime.torch_files import mutations


def main() -> None:
    """Damage each file and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="changed copies of each file")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        for name in mutations.FILES:
            data = mutations.content(name)
            short = mutations.refused(name, (data[:k] for k in range(len(data))), path)
            assert short == len(data), f"{name}: {len(data) - short} truncations were accepted"
            refused = mutations.refused(name, mutations.changed(data, count, 0), path)
            print(f"{name}: {short} truncations refused; {refused} of {count} changes refused")


if __name__ == "__main__":
    main()
