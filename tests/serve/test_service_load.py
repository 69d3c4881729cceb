"""The service under overload, and with a full disk."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.dicom_variants import made
from helpers.service import Running, resident_mb, running, wait_until
from helpers.tiny_model import grey_image, write_tiny
from pneumoscope.client import Client

HEAD = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\n"
LIMIT_MB = 0.05


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that costs nothing, so that all that is measured is the service."""
    return write_tiny(tmp_path_factory.mktemp("model") / "tiny.onnx")


def _encoded(kind: str, *, side: int = 96) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey_image(120, side=side)).save(out, format=kind)
    return out.getvalue()


# --- many ---


def test_ten_thousand_requests_with_one_in_ten_that_is_bad(tiny: Path) -> None:
    jpeg, png = _encoded("JPEG"), _encoded("PNG")
    good = (jpeg, png, made(grey_image(120).astype(np.uint16)))
    bad = (
        (jpeg[: len(jpeg) // 2], 422),  # damaged
        (png[:-40], 422),
        (b"%PDF-1.7 no image", 422),
        (b"\xff" * 60_000, 413),
        (b"", 400),
    )
    count, clients = 10_000, 8

    def sent(number: int) -> tuple[bytes, int]:
        if number % 10:
            return good[number % len(good)], 200
        return bad[number // 10 % len(bad)]

    with running("--model", str(tiny), "--workers", "2", "--max-mb", str(LIMIT_MB)) as service:
        wrong = asyncio.run(_flood(service.port, sent, range(count // 5), clients=clients))
        before = resident_mb(service.process.pid)
        wrong += asyncio.run(_flood(service.port, sent, range(count // 5, count), clients=clients))
        assert wrong == Counter()
        assert resident_mb(service.process.pid) < 1.1 * before
        assert service.metric("pneumoscope_queue_depth") == 0
        assert service.metric("pneumoscope_wait_seconds_count") == 0.9 * count
        assert not service.events("fault")
        assert not service.events("worker_died")


async def _flood(
    port: int, sent: Callable[[int], tuple[bytes, int]], numbers: Sequence[int], *, clients: int
) -> Counter[tuple[int, int]]:
    """Send requests over a few connections; return the answers that were not expected."""
    wrong: Counter[tuple[int, int]] = Counter()
    left = iter(numbers)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in left:
            content, expected = sent(number)
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split()[1])
            await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
            if status != expected:
                wrong[status, expected] += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return wrong


def test_ten_times_the_load_takes_no_more_memory_than_a_full_queue(tiny: Path) -> None:
    places, megabytes = 4, 4
    # The largest body that is taken, and one that takes a while to read.
    body = _encoded("PNG", side=1024)
    body = body + b"\0" * (megabytes * 2**20 - len(body))
    options = ("--queue", str(places), "--workers", "2", "--max-mb", str(megabytes))
    with running("--model", str(tiny), *options) as service:
        _ = _peak_mb(service, body, clients=places, requests=40)  # what is kept for later use
        full, statuses = _peak_mb(service, body, clients=places, requests=40)
        assert statuses.keys() == {200}
        over, statuses = _peak_mb(service, body, clients=10 * places, requests=400)
        assert statuses.keys() == {200, 429}
        assert statuses.total() == 400
        assert over < 1.2 * full
        assert service.predict(body).status == 200


def _peak_mb(
    service: Running, body: bytes, *, clients: int, requests: int
) -> tuple[float, Counter[int]]:
    """Return the most resident memory while requests are sent, and how they were answered."""
    found = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            found.append(resident_mb(service.process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with ThreadPoolExecutor(clients) as pool:
            answers = Counter(pool.map(lambda _: service.predict(body).status, range(requests)))
        return max(found), answers
    finally:
        over.set()
        watching.join()


def test_a_client_that_goes_away_while_it_waits_is_not_read_for(tiny: Path) -> None:
    jpeg = _encoded("JPEG")
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(jpeg) + jpeg
    with running("--model", str(tiny), "--workers", "1") as service:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        with service.connected() as first:
            first.sendall(request)
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            with service.connected() as second:
                second.sendall(request)
                wait_until(lambda: service.metric("pneumoscope_queue_depth") == 2)
            wait_until(lambda: service.metric("pneumoscope_queue_depth") == 1)
            os.kill(worker, signal.SIGCONT)
            assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert service.predict(jpeg).status == 200
        assert service.metric("pneumoscope_decode_seconds_count") == 2
        assert service.metric('pneumoscope_refusals_total{reason="client_gone"}') == 1


# --- a full disk ---


@contextmanager
def _without_a_disk(tiny: Path, tmp_path: Path) -> Iterator[Client]:
    """Run a service that can write no byte to any file, its log included."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with open("/dev/full", "w") as log:  # noqa: PTH123 - a device
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pneumoscope", "serve", "--port", str(port)),
                *("--model", str(tiny), "--workers", "1", "--grace-seconds", "0"),
            ],
            stderr=log,
            env={**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
            preexec_fn=full,  # noqa: PLW1509 - nothing else runs in this process
        )
    client = Client(f"http://127.0.0.1:{port}")
    try:
        wait_until(client.ready, seconds=90)
        yield client
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_does_not_touch_the_service(tiny: Path, tmp_path: Path) -> None:
    with _without_a_disk(tiny, tmp_path) as client:
        large = _encoded("PNG", side=1024)
        for content in (_encoded("JPEG"), large, made(grey_image(120).astype(np.uint16))):
            record = client.predict(content, evidence=True)
            assert record["conclusion"] in {"NORMAL", "PNEUMONIA"}
            assert Image.open(io.BytesIO(client.evidence(record))).format == "PNG"
        assert client.ready()
    assert list(tmp_path.iterdir()) == []
