"""Downloads from a server that closes connections, changes its file, or sends wrong data."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from helpers.serving import CONTENT, SUM, Server, serving
from pneumoscope.data.download import fetch as fetching
from pneumoscope.errors import FetchError, OutputError, WeightsError
from pneumoscope.models.download import download, fetched


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumoscope.data.download.fetch.time.sleep", lambda _: None)
    monkeypatch.setattr(fetching, "TRIES", 2)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    target = tmp_path / "new" / "w.safetensors"
    found = download(server.url, target, progress=lambda done, total: told.append((done, total)))
    assert found == SUM
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == ["w.safetensors"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_it_continues_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.breaks = [400_000, 100_000, 0]
    assert download(server.url, tmp_path / "w", sha256=SUM) == SUM
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=400000-", "bytes=500000-", "bytes=500000-"]


def test_the_next_run_continues(server: Server, tmp_path: Path) -> None:
    server.breaks = [400_000, 0, 0]
    with pytest.raises(FetchError, match="ended early"):
        download(server.url, tmp_path / "w")
    assert files(tmp_path) == [".w.part", ".w.part.json"]
    server.breaks = []
    assert download(server.url, tmp_path / "w") == SUM
    assert server.asked[-1] == "bytes=400000-"
    assert files(tmp_path) == ["w"]


def test_a_part_that_was_whole_already(server: Server, tmp_path: Path) -> None:
    server.breaks = [999_999, 0, 0]
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "w")
    (tmp_path / ".w.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "w") == SUM
    assert server.asked[-1] == "bytes=1000000-"


@pytest.mark.parametrize("how", ["changed", "no version", "no ranges"])
def test_it_begins_again_where_it_cannot_continue(server: Server, tmp_path: Path, how: str) -> None:
    server.content = CONTENT[::-1]
    server.version = None if how == "no version" else '"one"'
    server.breaks = [400_000, 0, 0]
    with pytest.raises(FetchError):
        download(server.url, tmp_path / "w")
    server.content = CONTENT
    if how == "changed":
        server.version = '"two"'
    server.ranges = how != "no ranges"
    assert download(server.url, tmp_path / "w") == SUM
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_another_content_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=rf"its SHA-256 is {SUM} instead of 0{{64}}"):
        download(server.url, tmp_path / "w", sha256="0" * 64)
    assert files(tmp_path) == []


def test_a_file_that_is_not_there(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(FetchError, match="answers 404 Not Found; check the address"):
        download(server.url, tmp_path / "w")
    assert len(server.asked) == 1
    assert files(tmp_path) == []


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(FetchError, match=r"503 Service Unavailable \(2 tries\)"):
        download(server.url, tmp_path / "w")
    assert len(server.asked) == 2


def test_no_server(tmp_path: Path) -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(WeightsError, match=r"cannot be fetched \(.*2 tries"):
        fetched(url, tmp_path / "w")


@pytest.mark.parametrize(
    "url", ["http://example.org/w", "ftp://example.org/w", "file:///etc/passwd", "https:///w"]
)
def test_only_safe_addresses(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="use an https address"):
        download(url, tmp_path / "w")


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        download(server.url, tmp_path / "file" / "w")


def test_two_that_fetch_the_same_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one finds that the part has become the file."""
    slow = fetching._check_content

    def other_first(*given: Any) -> None:
        monkeypatch.setattr(fetching, "_check_content", slow)
        assert download(server.url, tmp_path / "w", sha256=SUM) == SUM
        slow(*given)

    monkeypatch.setattr(fetching, "_check_content", other_first)
    assert download(server.url, tmp_path / "w", sha256=SUM) == SUM
    assert files(tmp_path) == ["w"]


def test_no_such_host_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        asked.append(1)
        raise socket.gaierror(-2, "Name or service not known")

    asked: list[int] = []
    monkeypatch.setattr(socket, "create_connection", unknown)
    with pytest.raises(FetchError, match="Name or service not known"):
        download("https://weights.invalid/w", tmp_path / "w")
    assert asked == [1]
