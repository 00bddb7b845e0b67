"""Where a run stands, as metadata and back; which epoch is the best."""

import math

import pytest

from intaglio.runtime.datasets import DataError
from intaglio.runtime.position import PREFIX, Position, Watch, saved_remarks, watched


def test_a_position_comes_back_exactly() -> None:
    at = Position(3, total=40)
    for k in range(7):
        at.add({"loss": 0.1 * k, "accuracy": math.nan}, 5)
    saved = saved_remarks({PREFIX + k: v for k, v in at.remarks().items()} | {"note": "x"})
    made = Position.read(saved)
    assert (made.epoch, made.step, made.total) == (3, 7, 47)
    assert made.sums["loss"] == at.sums["loss"]
    assert math.isnan(made.sums["accuracy"])
    assert at.next_epoch() == Position(4, total=47)
    assert at.means()["loss"] == pytest.approx(0.3)


def test_the_best_and_what_counts_as_better() -> None:
    watch = Watch("loss", more=False, min_delta=0.5, patience=3)
    seen = [watch.see(k, {"loss": v}) for k, v in enumerate([9.0, 8.8, 8.6, 7.0, 7.0, 6.9], 1)]
    assert seen == [True, True, True, True, False, True]
    assert (watch.best, watch.best_epoch, watch.reference, watch.waited) == (6.9, 6, 7, 2)
    assert not watch.over
    assert not watch.see(7, {"accuracy": 1.0}), "epochs without the result do not count"
    assert watch.waited == 2
    assert not watch.see(8, {"loss": math.nan})
    assert watch.over
    other = Watch("loss", more=False)
    assert other.restore(watch.remarks())
    assert (other.best, other.best_epoch, other.waited) == (6.9, 6, 3)
    assert not Watch("loss", more=True).restore(watch.remarks())
    assert Watch("loss", more=True).restore({}), "nothing was watched before"
    rising = Watch("accuracy", more=True)
    assert [rising.see(k, {"accuracy": v}) for k, v in enumerate([math.nan, 0.1, 0.3, 0.2])] == [
        False, True, True, False,
    ]  # fmt: skip


def test_names_tell_which_way_is_better() -> None:
    assert watched("eval.loss") == ("eval.loss", False)
    assert watched("eval.top5_accuracy") == ("eval.top5_accuracy", True)
    assert watched("a:b:max") == ("a:b", True)
    assert watched("accuracy:min") == ("accuracy", False)
    with pytest.raises(DataError, match="say rank:min or rank:max"):
        watched("rank")


def test_damaged_remarks_are_refused() -> None:
    watch = Watch("loss", more=False)
    good = watch.remarks()
    for change in ({"best": "x"}, {"waited": -1}, {"best.epoch": "one"}, {"waited": True}):
        with pytest.raises(DataError, match="damaged"):
            watch.restore(good | change)
    for position in ({"epoch": -1, "step": 0}, {"epoch": 1, "step": 0, "sum.loss": "much"}):
        with pytest.raises(DataError, match="damaged"):
            Position.read(position)
