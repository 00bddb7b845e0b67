"""From timings to a table: medians, spreads, and ratios to the best peer and to torch."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

TOLERANCE = 2e-3  # of answers in f32, after a few steps of training


@dataclass
class Row:
    """One peer of one workload: timings of all its rounds, or the reason why there are none."""

    workload: str
    peer: str
    samples: list[float] = field(default_factory=list)  # seconds a call
    first_call: float | None = None  # seconds from an imported package to the first answer
    answer: list[float] = field(default_factory=list)
    missing: str | None = None  # the peer is not installed
    failed: str | None = None  # it is, and did not work, or gave another answer

    @property
    def ours(self) -> bool:
        """Whether this row is intaglio's own."""
        return self.peer.startswith("intaglio")

    @property
    def median(self) -> float:
        """The median of all samples, in seconds."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """The interquartile range of all samples, in seconds."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4)
        return high - low


def check_answers(rows: Sequence[Row]) -> None:
    """Mark rows as failed whose answer is not that of the workload's first peer that has one."""
    answered = [row for row in rows if row.answer]
    if not answered:
        return
    expected = np.array(answered[0].answer)
    for row in answered[1:]:
        got = np.array(row.answer)
        if got.shape != expected.shape:
            row.failed = f"{len(got)} numbers, and {answered[0].peer} gives {len(expected)}"
        elif not np.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE):
            worst = float(np.abs(got - expected).max())
            row.failed = f"another answer than {answered[0].peer}: off by {worst:.3g}"


def milliseconds(seconds: float) -> str:
    """Three significant digits, in ms."""
    digits = np.format_float_positional(seconds * 1e3, 3, fractional=False, trim="-")
    return digits.rstrip(".")


def ratio(seconds: float, other: float | None) -> str:
    """How many times another time this one is: below 1 is faster."""
    return "-" if other is None else f"{seconds / other:.2f}"


def lines_of(rows: Sequence[Row]) -> list[str]:
    """The table's lines for one workload, fastest first, then what could not be timed."""
    timed = sorted((r for r in rows if r.samples and not r.failed), key=lambda r: r.median)
    best = min((r.median for r in timed if not r.ours), default=None)
    torch = next((r.median for r in timed if r.peer == "torch"), None)
    lines = []
    for row in timed:
        first = "-" if row.first_call is None else f"{row.first_call:.2f}"
        cells = [row.workload, row.peer, milliseconds(row.median), milliseconds(row.spread)]
        cells += [ratio(row.median, best), ratio(row.median, torch), first, str(len(row.samples))]
        lines.append("| " + " | ".join(cells) + " |")
    for row in rows:
        if row not in timed:
            reason = row.failed or row.missing or "no samples"
            word = "FAILED" if row.failed else "absent"
            lines.append(f"| {row.workload} | {row.peer} | {word}: {reason} | | | | | |")
    return lines


def table(machine: dict[str, str], rows: Sequence[Row]) -> str:
    """A markdown table under a line that describes the machine."""
    head = "; ".join(f"{key} {value}" for key, value in machine.items())
    titles = ["workload", "peer", "median ms", "IQR ms", "x best peer", "x torch"]
    titles += ["first call s", "samples"]
    lines = [head, "", "| " + " | ".join(titles) + " |", "|---|---" + "|---:" * 6 + "|"]
    for name in dict.fromkeys(row.workload for row in rows):
        lines += lines_of([row for row in rows if row.workload == name])
    return "\n".join(lines)


def as_json(machine: dict[str, str], rows: Sequence[Row]) -> dict[str, object]:
    """Everything measured, for later comparison."""
    return {"machine": machine, "rows": [asdict(row) for row in rows]}
