"""Files written whole or not at all."""

import os
from pathlib import Path

import pytest

from intaglio.tools.atomic import check_writable, replacing


def test_a_failing_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(str(path)) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]
    with replacing(str(path)) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    with replacing("/dev/null") as file:
        file.write(b"gone")
    assert not os.path.isfile("/dev/null")
    for path in ("/dev/null", str(tmp_path)):
        with pytest.raises(OSError, match="not a file"):
            check_writable(path)
    with pytest.raises(FileNotFoundError) as missing:
        check_writable(str(tmp_path / "no" / "a"))
    assert missing.value.filename == str(tmp_path / "no" / "a")
    check_writable(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []
