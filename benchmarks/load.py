"""Clients of a server, each a thread that sends one request after the other.

They share the CPUs with the measured server, so they do as little as possible: blocking sockets,
prepared requests, and no parsing beyond the length of a response.

Prints one JSON line: load.py FOLDER --port N [--path PATH] [--form FIELD] [--clients N]
[--requests N]
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_BUSY = 429
_AT_ONCE = 2**16


def main() -> None:
    """Send the requests, and print the responses and their times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/predictions")
    parser.add_argument("--form", default="", help="the field of a form; none sends raw bodies")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--requests", type=int, help="(default: one a file)")
    asked = parser.parse_args()
    images = sorted(asked.folder.rglob("*.jpeg"))
    requests = [_request(image.read_bytes(), asked.path, asked.form) for image in images]
    print(json.dumps(_load(requests, asked)))


def _request(image: bytes, path: str, form: str) -> bytes:
    kind = "application/octet-stream"
    if form:
        kind = "multipart/form-data; boundary=edge"
        head = f'--edge\r\nContent-Disposition: form-data; name="{form}"; filename="a.jpeg"\r\n'
        image = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + image + b"\r\n--edge--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image


def _load(requests: list[bytes], asked: argparse.Namespace) -> dict[str, Any]:
    left = iter(range(asked.requests or len(requests)))
    turn = threading.Lock()

    def numbers() -> Iterator[int]:
        while True:
            with turn:
                number = next(left, None)
            if number is None:
                return
            yield number

    answers: list[tuple[int, float]] = []
    started = time.perf_counter()
    with ThreadPoolExecutor(asked.clients) as clients:
        work = [
            clients.submit(_client, requests, numbers(), asked.port, answers)
            for _ in range(asked.clients)
        ]
    took = time.perf_counter() - started
    for one in work:
        one.result()  # its error, if there was one
    return {
        "seconds": took,
        "statuses": [status for status, _ in answers],
        "latencies": [round(seconds, 6) for _, seconds in answers],
    }


def _client(
    requests: list[bytes], numbers: Iterator[int], port: int, answers: list[tuple[int, float]]
) -> None:
    """Send the remaining requests; rejected ones are not repeated, and followed by a pause."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in numbers:
            started = time.perf_counter()
            connection.sendall(requests[number % len(requests)])
            status, headers = _answer(connection)
            answers.append((status, time.perf_counter() - started))
            if status == _BUSY:
                time.sleep(float(headers.get("retry-after", "1")))


def _answer(connection: socket.socket) -> tuple[int, Mapping[str, str]]:
    """Receive a complete response; return its status and headers."""
    head, body = _until(connection, b"", b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        _chunks(connection, body)
    else:
        _rest(connection, body, int(headers["content-length"]))
    return int(lines[0].split()[1]), headers


def _chunks(connection: socket.socket, found: bytes) -> None:
    size = -1
    while size:
        line, found = _until(connection, found, b"\r\n")
        size = int(line, 16)
        found = _rest(connection, found, size + 2)


def _until(connection: socket.socket, found: bytes, mark: bytes) -> tuple[bytes, bytes]:
    while mark not in found:
        found += _more(connection)
    before, _, after = found.partition(mark)
    return before, after


def _rest(connection: socket.socket, found: bytes, size: int) -> bytes:
    while len(found) < size:
        found += _more(connection)
    return found[size:]


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(_AT_ONCE)
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


if __name__ == "__main__":
    main()
