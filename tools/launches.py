"""The launches of a function lowered to CUDA, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intaglio.compiler.launch import HostLaunch, Launch, LaunchLoop
from intaglio.tools.show import table

HEAD = ("step", "launch", "blocks x", "blocks y", "threads", "shared", "scratch per block")


def launch_table(launches: Sequence[Launch | HostLaunch | LaunchLoop]) -> str:
    """A line for every launch, in order; numbers that differ from call to call as formulas."""
    return table([HEAD, *_rows(launches, "")])


def _rows(
    launches: Sequence[Launch | HostLaunch | LaunchLoop], indent: str
) -> Iterator[Sequence[object]]:
    for item in launches:
        if isinstance(item, LaunchLoop):
            yield ("", f"{indent}{item.length} times:", "", "", "", "", "")
            yield from _rows(item.body, indent + "  ")
            continue
        if isinstance(item, HostLaunch):
            yield (item.step, f"{indent}call {item.host}", "", "", "", "", "")
            continue
        across, down = item.grid
        threads = f"{item.block[0]} x {item.block[1]}"
        yield (item.step, indent + item.kernel, across, down, threads, item.shared, item.scratch)
