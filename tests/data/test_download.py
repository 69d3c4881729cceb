"""Downloads over interrupted connections, invalid archives, and incomplete folders."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import socket
import stat
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.data.download import (
    Manifest,
    Verification,
    load_manifest,
    verify_folder,
)
from pneumoscope.data.download import fetch as fetching
from pneumoscope.data.download.fetch import Expected, fetch
from pneumoscope.data.download.listing import fetch_listed, read_listing
from pneumoscope.data.download.manifest import Folder, Known
from pneumoscope.data.download.unpack import gather, is_safe, unpack
from pneumoscope.errors import DataError, DownloadError, OptionError, OutputError
from pneumoscope.workflow import download as roads
from pneumoscope.workflow.download import download_data_set

resource = pytest.importorskip("resource", reason="limits on file sizes are those of Unix")

MOST = 10_000_000
DATA = np.random.default_rng(0).bytes(700_000)


@dataclass
class Server:
    """A web server whose line breaks: each answer ends after the next number of ``cuts``."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    status: int | None = None
    redirect: str | None = None
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.headers.get("Range", ""))
            place = state.redirect or state.moved.get(self.path)
            if place or state.status:
                self.send_response(state.status or 302)
                self.send_header("Content-Length", "0")
                if place:
                    self.send_header("Location", place)
                self.end_headers()
                return
            body = state.files.get(self.path)
            if body is None:
                self.send_error(404)
                return
            begin = 0
            asked = self.headers.get("Range")
            if asked and state.ranges and self.headers.get("If-Range") == state.etag:
                begin = int(asked.removeprefix("bytes=").removesuffix("-"))
                if begin >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - begin))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else len(body)
            self.wfile.write(body[begin : begin + cut])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep the pauses between tries, and make none."""
    found: list[float] = []
    monkeypatch.setattr("pneumoscope.data.download.fetch.time.sleep", found.append)
    return found


@contextmanager
def room_for(most: int) -> Iterator[None]:
    """Let files grow to so many bytes only, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_broken_line_is_taken_up_where_it_broke(
    server: Server, tmp_path: Path, pauses: list[float]
) -> None:
    server.files["/a.zip"] = DATA
    server.cuts = [100_000, 0, 0, 250_000]
    told: list[tuple[int, int]] = []
    fetch(f"{server.url}/a.zip", tmp_path / "a", most_bytes=MOST,
          progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.asked == ["", *["bytes=100000-"] * 3, "bytes=350000-"]
    assert left(tmp_path) == {"a"}
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)
    assert len(pauses) == 4


def test_a_later_call_goes_on_and_a_changed_file_begins_anew(
    server: Server, tmp_path: Path, pauses: list[float]
) -> None:
    server.files["/a"] = DATA
    server.cuts = [300_000, *[0] * fetching.TRIES]
    with pytest.raises(DownloadError, match="ended early"):
        fetch(f"{server.url}/a", tmp_path / "a", most_bytes=MOST)
    assert left(tmp_path) == {".a.part", ".a.part.json"}
    server.asked.clear()
    fetch(f"{server.url}/a", tmp_path / "a", most_bytes=MOST)
    assert server.asked == ["bytes=300000-"]
    assert (tmp_path / "a").read_bytes() == DATA

    server.cuts = [300_000, *[0] * fetching.TRIES]
    with pytest.raises(DownloadError):
        fetch(f"{server.url}/a", tmp_path / "b", most_bytes=MOST)
    server.files["/a"], server.etag = DATA[::-1], '"two"'
    fetch(f"{server.url}/a", tmp_path / "b", most_bytes=MOST)
    assert (tmp_path / "b").read_bytes() == DATA[::-1]


@pytest.mark.parametrize(("ranges", "etag"), [(False, '"one"'), (True, None), (True, 'W/"one"')])
def test_servers_that_cannot_resume_send_it_all_again(
    server: Server, tmp_path: Path, pauses: list[float], ranges: bool, etag: str | None
) -> None:
    server.files["/a"], server.ranges, server.etag = DATA, ranges, etag
    server.cuts = [400_000, 500_000]
    fetch(f"{server.url}/a", tmp_path / "a", most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_part_that_is_whole_is_taken(server: Server, tmp_path: Path) -> None:
    """The process was killed after the last byte and before the new name."""
    server.files["/a"] = DATA
    (tmp_path / ".a.part").write_bytes(DATA)
    note = {"url": f"{server.url}/a", "validator": server.etag}
    (tmp_path / ".a.part.json").write_text(json.dumps(note))
    expected = Expected(len(DATA), hashlib.sha256(DATA).hexdigest())
    fetch(f"{server.url}/a", tmp_path / "a", expected=expected, most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == DATA
    assert left(tmp_path) == {"a"}


@pytest.mark.parametrize(
    ("expected", "says"),
    [(Expected(sha256="0" * 64), "its SHA-256 is"), (Expected(bytes=3), "instead of 3")],
)
def test_a_wrong_content_is_removed(
    server: Server, tmp_path: Path, expected: Expected, says: str
) -> None:
    server.files["/a"] = DATA
    with pytest.raises(DownloadError, match=says):
        fetch(f"{server.url}/a", tmp_path / "a", expected=expected, most_bytes=MOST)
    assert left(tmp_path) == set()


def test_a_full_disk_is_no_fault_of_the_line(
    server: Server, tmp_path: Path, pauses: list[float]
) -> None:
    server.files["/a"] = DATA
    with room_for(200_000), pytest.raises(OutputError, match="free some space"):
        fetch(f"{server.url}/a", tmp_path / "a", most_bytes=MOST)
    assert pauses == []
    assert not (tmp_path / "a").exists()
    fetch(f"{server.url}/a", tmp_path / "a", most_bytes=MOST)
    assert server.asked[1] == "bytes=200000-"
    assert (tmp_path / "a").read_bytes() == DATA


def test_what_a_server_refuses(server: Server, tmp_path: Path, pauses: list[float]) -> None:
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{server.url}/gone", tmp_path / "a", most_bytes=MOST)
    assert pauses == []
    server.status = 503
    with pytest.raises(DownloadError, match="503"):
        fetch(f"{server.url}/busy", tmp_path / "a", most_bytes=MOST)
    assert len(pauses) == fetching.TRIES - 1
    server.status, server.redirect = None, "file:///etc/passwd"
    with pytest.raises(DownloadError, match="not allowed"):
        fetch(f"{server.url}/elsewhere", tmp_path / "a", most_bytes=MOST)
    server.redirect, server.files["/a"] = None, DATA
    with pytest.raises(DownloadError, match="more than the limit of 1,000"):
        fetch(f"{server.url}/a", tmp_path / "a", most_bytes=1000)
    assert left(tmp_path) == set()


def test_no_way_leads_from_https_to_http(server: Server) -> None:
    asked = urllib.request.Request("https://127.0.0.1/a")
    with pytest.raises(DownloadError, match="not followed"):
        fetching._Redirects().redirect_request(
            asked, io.BytesIO(), 302, "Found", Message(), f"{server.url}/a"
        )
    assert server.asked == []


def test_a_redirection_is_followed(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.moved = DATA, {"/old": "/a"}
    fetch(f"{server.url}/old", tmp_path / "a", most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == DATA


def test_nobody_listens(tmp_path: Path, pauses: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        with pytest.raises(DownloadError, match="refused"):
            fetch(url, tmp_path / "a", most_bytes=MOST)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "chest.zip", "https://", ""])
def test_what_is_no_web_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(OptionError, match="source must be"):
        fetch(url, tmp_path / "a", most_bytes=MOST)


# A data set of twelve files: train by name, test by number, one content known.


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


FILES = {
    **{f"train/NORMAL/IM-{i:04}-0001.jpeg": jpeg(i) for i in range(4)},
    **{f"train/PNEUMONIA/person{i}_virus_{i}.jpeg": jpeg(10 + i) for i in range(4)},
    **{f"test/NORMAL/IM-{i:04}-0001.jpeg": jpeg(20 + i) for i in range(10, 12)},
    **{f"test/PNEUMONIA/person{i}_virus_{i}.jpeg": jpeg(30 + i) for i in range(10, 12)},
}
FIRST = "train/NORMAL/IM-0000-0001.jpeg"


@pytest.fixture
def small() -> Manifest:
    def names(folder: str) -> frozenset[str]:
        return frozenset(Path(path).name for path in FILES if path.startswith(f"{folder}/"))

    return Manifest(
        "a small set",
        "doi:0",
        "CC0",
        {
            "train/NORMAL": Folder(4, names("train/NORMAL")),
            "train/PNEUMONIA": Folder(4, names("train/PNEUMONIA")),
            "test/NORMAL": Folder(2, None),
            "test/PNEUMONIA": Folder(2, None),
        },
        {FIRST: Known(len(FILES[FIRST]), hashlib.sha256(FILES[FIRST]).hexdigest())},
    )


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def zipped(files: dict[str, bytes], *, links: tuple[str, ...] = ()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path)
            info.compress_type = zipfile.ZIP_DEFLATED
            if path in links:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, data)
    return out.getvalue()


def test_a_whole_folder_is_sound(tmp_path: Path, small: Manifest) -> None:
    folder = laid_out(tmp_path / "data", {**FILES, "train/NORMAL/.DS_Store": b"x"})
    found = verify_folder(folder, small)
    assert found.sound
    assert found == Verification(12, (), (), (), 1)
    assert "12 images" in found.text()
    assert "1 originals (SHA-256)" in found.text()


def damage(path: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: change(folder / path)


@pytest.mark.parametrize(
    ("harm", "missing", "extra", "wrong"),
    [
        (damage(FIRST, Path.unlink), [FIRST], [], []),
        (damage("train/NORMAL/new.jpeg", lambda p: p.write_bytes(jpeg(0))), [],
         ["train/NORMAL/new.jpeg"], []),
        (damage("train/OTHER/a.jpeg", lambda p: laid_out(p.parent, {"a.jpeg": b"x"})), [],
         ["train/OTHER/a.jpeg"], []),
        (damage(FIRST, lambda p: p.write_bytes(jpeg(99))), [], [], [FIRST]),
        (damage(FIRST, lambda p: p.write_bytes(p.read_bytes()[:-1] + b"x")), [], [], [FIRST]),
        (damage("train/NORMAL/IM-0001-0001.jpeg", lambda p: p.write_bytes(b"")), [], [],
         ["train/NORMAL/IM-0001-0001.jpeg"]),
        (damage("train/NORMAL/IM-0001-0001.jpeg", lambda p: p.write_bytes(p.read_bytes()[:300])),
         [], [], ["train/NORMAL/IM-0001-0001.jpeg"]),
        (damage("test/NORMAL/IM-0010-0001.jpeg", Path.unlink), ["test/NORMAL: 1 of 2 files"], [],
         []),
        (damage("test/NORMAL/IM-0012-0001.jpeg", lambda p: p.write_bytes(jpeg(1))), [],
         ["test/NORMAL: 1 files more than 2"], []),
        (damage("test/NORMAL/IM-0001-0001.jpeg", lambda p: p.write_bytes(jpeg(1))), [],
         ["test/NORMAL/IM-0001-0001.jpeg"], []),
        (damage("test", shutil.rmtree),
         ["test/NORMAL: 2 of 2 files", "test/PNEUMONIA: 2 of 2 files"], [], []),
    ],
)  # fmt: skip
def test_what_is_amiss_is_named(
    tmp_path: Path,
    small: Manifest,
    harm: Callable[[Path], object],
    missing: list[str],
    extra: list[str],
    wrong: list[str],
) -> None:
    folder = laid_out(tmp_path / "data", FILES)
    harm(folder)
    found = verify_folder(folder, small)
    assert not found.sound
    assert list(found.missing) == missing
    assert list(found.extra) == extra
    assert [path for path, _ in found.wrong] == wrong
    for name in (*missing, *extra, *wrong):
        assert name in found.text()


def test_the_folder_above_is_told_from_the_data_set(tmp_path: Path, small: Manifest) -> None:
    laid_out(tmp_path / "chest_xray", FILES)
    with pytest.raises(DataError, match=r"Did you mean .*chest_xray"):
        verify_folder(tmp_path, small)
    with pytest.raises(DataError, match="no such folder"):
        verify_folder(tmp_path / "gone", small)


def test_an_archive_as_kaggle_makes_it(tmp_path: Path, small: Manifest) -> None:
    """Below a folder, with a second copy deeper inside, and with what a Mac leaves."""
    files = {f"chest_xray/{path}": data for path, data in FILES.items()}
    files |= {f"chest_xray/chest_xray/{path}": b"copy" for path in FILES}
    files |= {f"chest_xray/__MACOSX/{path}": b"junk" for path in FILES}
    files |= {"chest_xray/train/NORMAL/.DS_Store": b"junk", "README": b"hello"}
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(files))
    unpack(archive, tmp_path / "out", small)
    assert verify_folder(tmp_path / "out", small).sound
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 12
    gather(laid_out(tmp_path / "laid", files), tmp_path / "copied", small)
    assert verify_folder(tmp_path / "copied", small).sound


def test_what_cannot_be_read_is_not_blamed_on_writing(tmp_path: Path, small: Manifest) -> None:
    source = laid_out(tmp_path / "laid", FILES)

    def gone(done: int, total: int) -> None:
        shutil.rmtree(source)

    with pytest.raises(DownloadError, match="laid: cannot be read"):
        gather(source, tmp_path / "copied", small, progress=gone)


@pytest.mark.parametrize(
    "name",
    ["../train/NORMAL/a.jpeg", "train/NORMAL/../../../a.jpeg", "/train/NORMAL/a.jpeg",
     "..\\train\\NORMAL\\a.jpeg", "C:/train/NORMAL/a.jpeg"],
)  # fmt: skip
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, small: Manifest, name: str) -> None:
    archive = tmp_path / "in" / "a.zip"
    laid_out(tmp_path / "in", {"a.zip": zipped({**FILES, name: b"out"})})
    with pytest.raises(DownloadError, match="outside the folder"):
        unpack(archive, tmp_path / "in" / "out", small)
    assert left(tmp_path) == {"in"}
    assert left(tmp_path / "in") == {"a.zip"}
    assert not is_safe(name)


def test_archives_that_lie(
    tmp_path: Path, small: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "a.zip"
    sound = zipped(FILES)
    link = "train/NORMAL/link.jpeg"
    broken = bytearray(sound)
    broken[100] ^= 0xFF  # inside the first member
    for data, says in (
        (zipped({**FILES, link: b"/etc/passwd"}, links=(link,)), "is outside the folder"),
        (bytes(broken), "not a valid zip archive"),
        (sound[:-50], "not a valid zip archive"),
        (b"<html>not found</html>", "not a valid zip archive"),
        (zipped({"other/a.txt": b"x"}), "this is not a small set"),
    ):
        archive.write_bytes(data)
        with pytest.raises(DownloadError, match=says):
            unpack(archive, tmp_path / "out", small)
    archive.write_bytes(sound)
    monkeypatch.setattr("pneumoscope.data.download.unpack.MOST_BYTES", 1000)
    with pytest.raises(DownloadError, match="declares 12 files"):
        unpack(archive, tmp_path / "out", small)


def test_no_room_to_unpack(
    tmp_path: Path, small: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(FILES))
    with room_for(300), pytest.raises(OutputError, match="free some space"):
        unpack(archive, tmp_path / "out", small)
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="bytes are needed, but only 10 are free"):
        unpack(archive, tmp_path / "out", small)


def listing_of(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return a mirror of files with its listing."""
    rows = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
    ]
    mirror = {f"/mirror/{path}": data for path, data in files.items()}
    return mirror | {"/mirror/files.json": json.dumps({"files": rows}).encode()}


def test_a_mirror_of_files(
    server: Server, tmp_path: Path, small: Manifest, pauses: list[float]
) -> None:
    server.files = listing_of(FILES)
    server.cuts = [10_000, 100, 0]
    url = f"{server.url}/mirror/files.json"
    fetch(url, tmp_path / "files.json", most_bytes=MOST)
    listed = read_listing(tmp_path / "files.json", small)
    server.files["/mirror/" + FIRST] = b"tampered"
    with pytest.raises(DownloadError, match=r"8 bytes received instead of"):
        fetch_listed(
            listed,
            url,
            tmp_path / "out",
        )
    assert not (tmp_path / "out" / FIRST).exists()
    server.files = listing_of(FILES)
    fetch_listed(listed, url, tmp_path / "out")
    assert verify_folder(tmp_path / "out", small).sound


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html>", "not a valid listing"),
        ("[]", "not a valid listing"),
        ('{"files": [{"path": "a"}]}', "not a valid listing"),
        ('{"files": []}', "listing is empty"),
        ('{"files": [{"path": "../a", "bytes": 1, "sha256": ""}]}', "not in the folders"),
        ('{"files": [{"path": "other/a", "bytes": 1, "sha256": ""}]}', "not in the folders"),
    ],
)
def test_wrong_listings(tmp_path: Path, small: Manifest, text: str, says: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DownloadError, match=says):
        read_listing(tmp_path / "a.json", small)


# The whole road.


@pytest.fixture
def road(small: Manifest, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    monkeypatch.setattr(roads, "load_manifest", lambda _: small)


@pytest.mark.usefixtures("road")
def test_an_archive_that_is_out_of_reach_for_now_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took long to fetch, and nothing says that it is unsound."""
    server.files["/a.zip"] = zipped(FILES)

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(zipfile.ZipFile, "open", failing)
        with pytest.raises(DownloadError, match=r"cannot be read \(Input/output error"):
            download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert len(server.asked) == 1
    download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert len(server.asked) == 1


@pytest.mark.usefixtures("road")
def test_the_folder_appears_when_it_is_whole(server: Server, tmp_path: Path) -> None:
    server.files = {"/a.zip": zipped(FILES), **listing_of(FILES)}
    server.cuts = [2000, *[0] * fetching.TRIES]
    with pytest.raises(
        DownloadError, match=r"(?s)The downloaded part is kept.*verify=FOLDER"
    ) as told:
        download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert "kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia" in str(told.value)
    assert left(tmp_path) == {".data.downloading"}
    server.asked.clear()
    found = download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert found.sound
    assert server.asked == ["bytes=2000-"]
    assert left(tmp_path) == {"data"}
    (tmp_path / "empty").mkdir()
    url = f"{server.url}/mirror/files.json"
    assert download_data_set("kermany", tmp_path / "empty", source=url).sound
    assert left(tmp_path) == {"data", "empty"}
    with pytest.raises(OutputError, match="exists already"):
        download_data_set("kermany", tmp_path / "data", source=url)


@pytest.mark.usefixtures("road")
def test_a_folder_that_is_not_whole_never_appears(server: Server, tmp_path: Path) -> None:
    missing = {path: data for path, data in FILES.items() if path != FIRST}
    server.files = {
        "/missing.zip": zipped(missing),
        "/broken.zip": zipped(FILES)[:-50],
        "/out.zip": zipped({**FILES, "../a": b""}),
        **listing_of({**FILES, FIRST: jpeg(99)}),
    }
    for path, says in (
        ("/missing.zip", r"(?s)are not a small set and were removed.*IM-0000-0001"),
        ("/broken.zip", "not a valid zip archive"),
        ("/out.zip", "is outside the folder"),
        ("/mirror/files.json", "(?s)wrong: 1.*IM-0000-0001"),
        ("/gone.zip", "404"),
    ):
        with pytest.raises(DownloadError, match=says):
            download_data_set("kermany", tmp_path / "data", source=server.url + path)
        assert left(tmp_path) == set(), path


@pytest.mark.usefixtures("road")
def test_a_disk_that_is_full_while_unpacking(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = zipped(
        {**FILES, "train/NORMAL/IM-0003-0001.jpeg": b"no image" + bytes(2_000_000)}
    )
    limit = len(server.files["/a.zip"]) + 1000
    with room_for(limit), pytest.raises(OutputError, match="free some space"):
        download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert left(tmp_path) == {".data.downloading"}
    assert len(server.asked) == 1
    with pytest.raises(DownloadError, match=r"(?s)wrong: 1.*IM-0003"):
        download_data_set("kermany", tmp_path / "data", source=f"{server.url}/a.zip")
    assert len(server.asked) == 1  # the archive was kept


@pytest.mark.usefixtures("road")
def test_kaggles_own_program(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = laid_out(tmp_path / "cache" / "chest_xray", FILES).parent

    class Hub:
        @staticmethod
        def dataset_download(name: str) -> str:
            assert name == "paultimothymooney/chest-xray-pneumonia"
            return str(kept)

    monkeypatch.setitem(__import__("sys").modules, "kagglehub", Hub)
    assert download_data_set("kermany", tmp_path / "data").sound
    assert left(tmp_path) == {"cache", "data"}
    assert verify_folder(kept / "chest_xray", small).sound  # copied, not moved

    def offline(name: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(Hub, "dataset_download", offline)
    with pytest.raises(DownloadError, match=r"(?s)no route to host.*manually.*verify=FOLDER"):
        download_data_set("kermany", tmp_path / "other")
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", None)
    with pytest.raises(DownloadError, match=r"\[download\]"):
        download_data_set("kermany", tmp_path / "other")
    assert left(tmp_path) == {"cache", "data"}


# The real data set.


def test_the_published_counts() -> None:
    manifest = load_manifest("kermany")
    assert {name: folder.files for name, folder in manifest.folders.items()} == {
        "train/NORMAL": 1341,
        "train/PNEUMONIA": 3875,
        "val/NORMAL": 8,
        "val/PNEUMONIA": 8,
        "test/NORMAL": 234,
        "test/PNEUMONIA": 390,
    }
    assert manifest.files == 5856
    assert len(manifest.known) == 120
    with pytest.raises(OptionError, match="Did you mean 'kermany'"):
        load_manifest("kermani")


def test_the_names_and_contents_are_those_of_the_originals(shared: Path) -> None:
    manifest = load_manifest("kermany")
    data = shared / "data"
    for name, folder in manifest.folders.items():
        if folder.names is not None:
            assert {path.name for path in (data / "chest_xray" / name).iterdir()} == folder.names
    originals = sorted((data / "chest_xray_native").rglob("*.jpeg"))
    assert {f"train/{path.parent.name}/{path.name}" for path in originals} == set(manifest.known)
    for path in originals:
        fact = manifest.known[f"train/{path.parent.name}/{path.name}"]
        content = path.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (fact.bytes, fact.sha256)


def test_the_reduced_copy_is_told_from_the_originals(shared: Path) -> None:
    found = verify_folder(shared / "data" / "chest_xray", load_manifest("kermany"))
    assert {path for path, _ in found.wrong} == set(load_manifest("kermany").known)
    assert found.extra == ()
    assert found.missing == ("test/NORMAL: 234 of 234 files", "test/PNEUMONIA: 390 of 390 files")
