"""Where a file's training run stands, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio.tools.show import safe

if TYPE_CHECKING:
    from intaglio.compiler.ir import Program


def about_training(
    program: Program, values: Mapping[str, Any], metadata: Mapping[str, object]
) -> str:
    """Epochs and steps done, the best result, the rates of now, how the examples are taken; empty
    for a file that no training run saved."""
    from intaglio.runtime.datasets import DataError
    from intaglio.runtime.position import Position, saved_remarks

    saved = saved_remarks(metadata)
    if "epoch" not in saved:
        return ""
    try:
        at = Position.read(saved)
        lines = [_done(at), *_watched(saved)]
    except DataError as error:
        return f"training\n  {error}"
    lines += [f"{name} {float(np.asarray(value)):.6g}" for name, value in _rates(program, values)]
    lines += _order(saved)
    return "\n".join(["training", *(f"  {safe(line)}" for line in lines)])


def _done(at: Any) -> str:
    within = f" and {_count(at.step, 'step')} of the next" if at.step else ""
    return f"{_count(at.epoch, 'epoch')}{within} done, {_count(at.total, 'step')} in all"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _watched(saved: Mapping[str, object]) -> list[str]:
    from intaglio.runtime.position import Watch, show_number

    if "watch" not in saved:
        return []
    watch = Watch(str(saved["watch"]), bool(saved.get("watch.more")))
    watch.restore(saved)
    if not watch.best_epoch:
        return [f"{watch.name} was never a number"]
    since = f", not better in {_count(watch.waited, 'evaluation')}" if watch.waited else ""
    return [f"best {watch.name} {show_number(watch.best)} in epoch {watch.best_epoch}{since}"]


def _rates(program: Program, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    from intaglio.runtime.training import changing_rates

    return [(shown, values[name]) for name, shown in changing_rates(program).items()]


def _order(saved: Mapping[str, object]) -> list[str]:
    if not isinstance(saved.get("batch_size"), int):
        return []
    mixed = f"mixed by seed {saved.get('seed')}" if saved.get("shuffle") else "as they stand"
    return [f"{saved.get('function')} on batches of {saved['batch_size']}, {mixed}"]
