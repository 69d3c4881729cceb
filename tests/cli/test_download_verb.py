"""``pneumoscope download``, as a user types it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pneumoscope.cli import main

Captured = pytest.CaptureFixture[str]


def test_a_folder_that_is_not_the_data_set(phantoms: Path, capsys: Captured) -> None:
    assert main(["download", "--verify", str(phantoms)]) == 1
    found = capsys.readouterr()
    assert "missing: 5,234" in found.out  # 5,232 names, and two folders without names
    assert "extra: " in found.out  # its own names
    assert found.err.strip().endswith("the data set is incomplete.")
    assert main(["download", "--verify", str(phantoms / "gone")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_offline_is_one_message(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pneumoscope.data.download.fetch.time.sleep", lambda _: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.zip"
        assert main(["download", "kermany", "--to", str(tmp_path / "x"), "--from", url]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("error: ") == 1
    assert "manually" in found.err
    assert "pneumoscope download --verify" in found.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "pneumoscope download kermany"),
        (["kermani"], "Did you mean 'kermany'?"),
        (["kermany", "--from", "chest.zip"], "--from must be an address"),
        (["--verify", ".", "--to", "x"], "without --to"),
    ],
)
def test_wrong_usage_is_one_message(
    words: list[str],
    says: str,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["download", *words]) == (1 if words else 2)
    found = capsys.readouterr()
    assert says in found.err
    assert found.out == ""
    assert list(tmp_path.iterdir()) == []
