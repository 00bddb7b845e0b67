"""Files of every format version stay readable, and are written again as they are."""

from pathlib import Path

import pytest

from intaglio.runtime.file import read, write
from tests.runtime.file import samples

GOLDEN = Path(__file__).parent / "golden"


def test_format_0(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / "format0.ig"
    if request.config.getoption("--update-golden"):
        program = samples.training()
        path.parent.mkdir(exist_ok=True)
        write(path, program, samples.filled(program), {"made by": "test_golden.py"})
    loaded = read(path)
    assert loaded.format_version == 0
    assert loaded.metadata == {"made by": "test_golden.py"}
    assert list(loaded.program.functions) == ["train_step", "eval"]
    assert loaded.program.functions["train_step"].updates == ("draw", "w", "b")
    values = samples.filled(loaded.program)
    assert {k: v.tobytes() for k, v in loaded.values.items()} == {
        k: v.tobytes() for k, v in values.items()
    }
    write(
        tmp_path / "a.ig",
        loaded.program,
        loaded.values,
        loaded.metadata,
        producer=loaded.producer,
    )
    assert (tmp_path / "a.ig").read_bytes() == path.read_bytes()
