"""JPEG-LS workers are reused, replaced, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from pneumoscope.images.dicom import jpegls, jpegls_worker

PIXELS = np.random.default_rng(2).integers(0, 4096, (90, 70), dtype=np.uint16)
FRAME = bytes(imagecodecs.jpegls_encode(PIXELS))

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Give each test a pool of its own; other tests of this process left one behind."""
    jpegls._workers()._end()
    jpegls._workers.cache_clear()
    yield
    jpegls._workers()._end()
    jpegls._workers.cache_clear()


def workers_of(parent: int) -> list[int]:
    """Return the processes of JPEG-LS workers of a process."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            status = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(status[1]) == parent and any(b"jpegls_worker" in word for word in words):
            found.append(int(place.name))
    return found


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def ended(processes: list[int]) -> bool:
    """Return whether processes end within some seconds."""
    for _ in range(200):
        if not any(is_running(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (1, 1), (700, 900)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_values_come_back_as_they_were(shape: tuple[int, ...], kind: type) -> None:
    generator = np.random.default_rng(0)
    pixels: NDArray[Any] = generator.integers(0, 32, shape, dtype=np.uint16).astype(kind)
    pixels.flat[0] = np.iinfo(kind).max
    found = jpegls.decode(bytes(imagecodecs.jpegls_encode(pixels)))
    assert found.dtype == kind
    np.testing.assert_array_equal(found, pixels)


@linux
def test_one_thread_uses_one_worker_again() -> None:
    jpegls.decode(FRAME)
    first = workers_of(os.getpid())
    for _ in range(5):
        np.testing.assert_array_equal(jpegls.decode(FRAME), PIXELS)
    assert workers_of(os.getpid()) == first
    assert len(first) == 1
    assert threading.active_count() == 1 or all(
        not isinstance(thread, threading.Timer) for thread in threading.enumerate()
    )


@linux
def test_threads_share_no_more_workers_than_there_are_threads() -> None:
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(jpegls.decode, [FRAME] * 30):
            np.testing.assert_array_equal(found, PIXELS)
    assert 1 <= len(workers_of(os.getpid())) <= 3


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"no image" * 100, FRAME[: len(FRAME) // 2]])
def test_data_that_cannot_be_decoded_are_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpegls.decode(frame)
    np.testing.assert_array_equal(jpegls.decode(FRAME), PIXELS)


@linux
def test_a_worker_that_failed_is_replaced() -> None:
    jpegls.decode(FRAME)
    first = workers_of(os.getpid())
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpegls.decode(b"no image")
    assert ended(first)
    jpegls.decode(FRAME)
    assert set(workers_of(os.getpid())).isdisjoint(first)


@linux
def test_a_worker_that_was_killed_while_idle_costs_no_image() -> None:
    jpegls.decode(FRAME)
    first = workers_of(os.getpid())
    os.kill(first[0], signal.SIGKILL)
    assert ended(first)
    np.testing.assert_array_equal(jpegls.decode(FRAME), PIXELS)
    assert not Path(f"/proc/{first[0]}").exists()  # no zombie either


def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    path = tmp_path / "fake_jpegls_worker.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    monkeypatch.setattr(jpegls_worker, "__file__", str(path))


def test_a_decoder_that_ends_the_process_is_a_value_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_worker(tmp_path, monkeypatch, "import os, sys; sys.stdin.buffer.read(9); os.abort()")
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpegls.decode(FRAME)


@pytest.mark.parametrize("reads", [True, False])
def test_a_decoder_that_never_returns_is_a_value_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    # Where the worker does not read, a large frame is never written.
    read = "sys.stdin.buffer.read(8); " if reads else ""
    fake_worker(tmp_path, monkeypatch, f"import sys, time; {read}time.sleep(600)")
    monkeypatch.setattr(jpegls, "SECONDS", 0.5)
    with pytest.raises(ValueError, match=r"not decoded in 0\.5 seconds"):
        jpegls.decode(bytes(10_000_000))
    assert workers_of(os.getpid()) == []


def test_an_answer_of_nonsense_is_a_value_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_worker(tmp_path, monkeypatch, "import sys; sys.stdout.write('\\xff' * 99)")
    with pytest.raises(ValueError, match="cannot be decoded"):
        jpegls.decode(FRAME)


@linux
def test_workers_end_with_the_program(tmp_path: Path) -> None:
    """However it ends: by itself, by ``os._exit``, killed."""
    frame = tmp_path / "frame.jls"
    frame.write_bytes(FRAME)
    for last in ("pass", "os._exit(0)", "os.kill(os.getpid(), 9)"):
        code = f"""
            import os, sys, threading
            from pathlib import Path
            from pneumoscope.images.dicom import jpegls
            sys.path[:0] = [{str(Path(__file__).parent)!r}]
            jpegls.decode(Path({str(frame)!r}).read_bytes())
            assert threading.active_count() == 1
            for place in Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = place.read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == os.getpid():
                    print(place.parent.name, flush=True)
            {last}
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        processes = [int(line) for line in done.stdout.split()]
        assert len(processes) == 1
        assert ended(processes), last


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_workers_of_its_own() -> None:
    jpegls.decode(FRAME)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(not np.array_equal(jpegls.decode(FRAME), PIXELS))
        finally:
            os._exit(code)
    np.testing.assert_array_equal(jpegls.decode(FRAME), PIXELS)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(jpegls.decode(FRAME), PIXELS)


def test_ctrl_c_discards_the_answer_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    jpegls.decode(FRAME)
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(jpegls, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jpegls.decode(FRAME)
    other = np.ascontiguousarray(PIXELS[::-1])
    np.testing.assert_array_equal(jpegls.decode(bytes(imagecodecs.jpegls_encode(other))), other)
