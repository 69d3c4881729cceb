"""Clients of a server, all in one process: each sends one request after the other.

Prints one JSON line: load.py FOLDER --port N [--path PATH] [--form FIELD] [--clients N]
[--requests N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

_BUSY = 429


def main() -> None:
    """Send the requests, and print what came back and when."""
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
    print(json.dumps(asyncio.run(_load(requests, asked))))


def _request(image: bytes, path: str, form: str) -> bytes:
    kind = "application/octet-stream"
    if form:
        kind = "multipart/form-data; boundary=edge"
        head = f'--edge\r\nContent-Disposition: form-data; name="{form}"; filename="a.jpeg"\r\n'
        image = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + image + b"\r\n--edge--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image


async def _load(requests: list[bytes], asked: argparse.Namespace) -> dict[str, Any]:
    left = iter(range(asked.requests or len(requests)))
    answers: list[tuple[int, float]] = []
    started = time.perf_counter()
    clients = [_client(requests, left, asked.port, answers) for _ in range(asked.clients)]
    await asyncio.gather(*clients)
    return {
        "seconds": time.perf_counter() - started,
        "statuses": [status for status, _ in answers],
        "latencies": [round(seconds, 6) for _, seconds in answers],
    }


async def _client(
    requests: list[bytes], left: Any, port: int, answers: list[tuple[int, float]]
) -> None:
    """Send requests until none is left; a refused one is sent no more, after a pause."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    for number in left:
        started = time.perf_counter()
        writer.write(requests[number % len(requests)])
        await writer.drain()
        status, headers = await _head(reader)
        await _body(reader, headers)
        answers.append((status, time.perf_counter() - started))
        if status == _BUSY:
            await asyncio.sleep(float(headers.get("retry-after", "1")))
    writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
    if headers.get("transfer-encoding") != "chunked":
        await reader.readexactly(int(headers["content-length"]))
        return
    while size := int((await reader.readline()).strip(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()


if __name__ == "__main__":
    main()
