"""Files that appear whole or not at all, and what is blamed where they do not."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pneumoscope.errors import OutputError
from pneumoscope.runs import written_whole

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fault", [FULL, OSError("encoder error -2")])
def test_a_disk_that_is_full_is_named(tmp_path: Path, fault: OSError) -> None:
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with written_whole(tmp_path / "a") as file:
            file.write_text("new")
            raise fault

    with pytest.raises(OutputError, match="a: cannot be written"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("name", ["a", "folder/a", "a/b/c"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").write_text("in the way")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"), written_whole(tmp_path / name) as f:
        f.write_text("new")


def test_what_else_fails_meanwhile_is_not_blamed_on_the_place(tmp_path: Path) -> None:
    """Reading another file, a connection or a pipe is no fault of the file that is written."""
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    for fault in (ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError("late")):
        with pytest.raises(type(fault)), written_whole(tmp_path / "a"):
            raise fault
    assert list(tmp_path.iterdir()) == []
