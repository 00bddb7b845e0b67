"""Training scripts as people write them for torch, with only their imports replaced: the numbers of
torch, step by step, and the same bits with the steps compiled."""

from pathlib import Path

import numpy as np
import pytest

from tests.models.port_judge import NAMES, Tools, port

pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
SINGLE = {"sequence_autoencoder", "transformer_lm"}
"""Scripts where torch computes something in f32: NAdam's product of momenta, sines of positions."""


@pytest.mark.parametrize("name", NAMES)
def test_script(name: str, tmp_path: Path) -> None:
    found = {}
    for framework, compiled in (("torch", False), ("intaglio", False), ("intaglio", True)):
        folder = tmp_path / f"{framework}_{compiled}"
        folder.mkdir()
        found[framework, compiled] = port(name, framework).main(Tools(framework, folder, compiled))
    theirs, ours, jitted = found.values()
    assert ours["losses"] == jitted["losses"] and ours.get("score") == jitted.get("score")
    if "score" in theirs:  # it draws numbers of its own
        assert min(theirs["score"], ours["score"]) >= theirs["wanted"]
        return
    assert len(theirs["losses"]) >= 12 and np.isfinite(theirs["losses"]).all()
    rtol = 1e-7 if name in SINGLE else 1e-8
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=rtol, atol=1e-10)
