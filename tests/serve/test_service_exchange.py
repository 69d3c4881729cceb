"""The path of a request with an image through the service."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

from helpers.service import Running, resident_mb, running, wait_until

HEAD = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\n"


def test_one_client_is_served_by_one_process(service: Running, xray: bytes) -> None:
    wait_until(lambda: service.metric("pneumoscope_workers_ready") == 2, seconds=60)
    service.predict(xray)
    before = {worker: _sleeps(worker) for worker in service.workers()}
    for _ in range(6):
        assert service.predict(xray).status == 200
    least, most = sorted(_sleeps(worker) - count for worker, count in before.items())
    # The one whose caches are warm has them all; another may wake for moments by itself.
    assert 3 * least < most


def _sleeps(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("voluntary")).split()[1])


def test_requests_that_were_sent_together_are_answered_in_turn(
    service: Running, xray: bytes
) -> None:
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(xray) + xray
    bad = HEAD + b"Content-Length: 8\r\n\r\nno image"
    health = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connected() as connection:
        connection.sendall(one + bad + health + one)
        answers = [_answer(connection) for _ in range(4)]
    assert [status for status, _ in answers] == [200, 422, 200, 200]
    assert answers[0][1]["logit"] == answers[3][1]["logit"]


def test_a_client_that_waits_to_be_told_sends_its_image(service: Running, xray: bytes) -> None:
    with service.connected() as connection:
        head = b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(xray)
        connection.sendall(HEAD + head)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(xray)
        assert _answer(connection)[0] == 200


def test_a_body_may_come_in_pieces(service: Running, xray: bytes) -> None:
    pieces = (xray[at : at + 1000] for at in range(0, len(xray), 1000))
    found = service.ask("POST", "/v1/predictions", pieces)  # sent as chunks
    assert found.json()["logit"] == service.predict(xray).json()["logit"]


def test_a_connection_that_waits_keeps_no_image() -> None:
    size = 8 * 2**20
    request = HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    with running("--workers", "1") as service, ExitStack() as held:

        def ask() -> None:
            connection = held.enter_context(service.connected())
            connection.sendall(request)
            assert _answer(connection)[0] == 422

        for _ in range(3):
            ask()
        before = resident_mb(service.process.pid)
        for _ in range(12):
            ask()
        assert resident_mb(service.process.pid) < before + 3 * size / 2**20


def _answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Return the status and the content of the next answer of a connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte
        head += byte
    lines = head.decode("latin-1").lower().split("\r\n")
    size = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    body = b""
    while len(body) < size:
        body += connection.recv(size - len(body))
    found: dict[str, object] = json.loads(body)
    return int(lines[0].split()[1]), found
