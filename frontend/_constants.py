"""Numbers that have a name: `inf`, `nan`, `pi`, `e`, and `newaxis` for indexing."""

from __future__ import annotations

import math
from typing import Final

inf: Final = math.inf
nan: Final = math.nan
pi: Final = math.pi
e: Final = math.e
newaxis: Final = None
