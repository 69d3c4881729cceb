"""The service behind nginx, with the configuration in deploy/."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from helpers.service import Running, running, wait_until
from pneumoscope.client import Client

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = Path(__file__).parents[2] / "deploy/nginx.conf"
LIMIT_MB = 1
BODY_SECONDS = 1.0

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Proxy:
    """nginx in front of a service."""

    def __init__(self, service: Running, port: int, folder: Path) -> None:
        self.service = service
        self.port = port
        self.folder = folder
        self.context = ssl.create_default_context(cafile=folder / "authority.pem")

    @property
    def client(self) -> Client:
        return Client(f"https://localhost:{self.port}", context=self.context)

    @contextmanager
    def connected(self) -> Iterator[HTTPSConnection]:
        found = HTTPSConnection("localhost", self.port, context=self.context, timeout=30)
        with closing(found):
            yield found


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run a service, and nginx before it."""
    trustme = pytest.importorskip("trustme", reason="the extra 'dev' is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    limits = ("--max-mb", str(LIMIT_MB), "--body-seconds", str(BODY_SECONDS))
    with running("--workers", "1", *limits, "--queue", "2", "--per-client", "1") as service:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "nginx.conf").write_text(_config(folder, port, service.port), encoding="utf-8")
        assert NGINX is not None
        process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder])
        found = Proxy(service, port, folder)
        try:
            wait_until(found.client.ready)
            yield found
        finally:
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _config(folder: Path, port: int, behind: int) -> str:
    """Return the server block of deploy/ with ports and files of this test, in a whole file."""
    block = CONFIG.read_text(encoding="utf-8")
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server_name pneumoscope.example.org;", "server_name localhost;"),
        ("/etc/ssl/pneumoscope.pem", str(folder / "server.pem")),
        ("/etc/ssl/pneumoscope.key", str(folder / "server.pem")),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{behind}"),
    ):
        assert old in block
        block = block.replace(old, new)
    places = "\n".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return (
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{places}\n{block}\n}}\n"
    )


def test_records_and_pictures_come_through(proxy: Proxy, xray: bytes) -> None:
    expected = proxy.service.predict(xray).json()
    record = proxy.client.predict(xray, evidence=True)
    assert record["logit"] == expected["logit"]
    assert proxy.client.evidence(record).startswith(b"\x89PNG")


def test_the_page_and_its_policy_come_through(proxy: Proxy) -> None:
    with proxy.connected() as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"<title>pneumoscope</title>" in answer.read()
    assert "default-src 'none'" in (answer.getheader("content-security-policy") or "")


def test_what_is_too_large_is_told_by_the_service(proxy: Proxy) -> None:
    with proxy.connected() as connection:
        connection.request("POST", "/v1/predictions", b"\xff" * (LIMIT_MB * 2**20 + 1))
        answer = connection.getresponse()
        assert answer.status == 413
        assert "1,048,576 bytes" in json.loads(answer.read())["detail"]


def test_slow_bodies_reach_the_service_at_once_and_are_written_nowhere(proxy: Proxy) -> None:
    with proxy.connected() as connection:
        _begin(connection, length=500_000, sent=100_000)
        wait_until(lambda: proxy.service.metric("pneumoscope_queue_depth") == 1)
        assert proxy.client.ready()
        started = time.monotonic()
        assert connection.getresponse().status == 408
        assert time.monotonic() - started < BODY_SECONDS + 10
    assert not [path for path in proxy.folder.rglob("*") if re.fullmatch(r"\d{10}", path.name)]


def test_the_service_knows_whose_request_it_is(proxy: Proxy, xray: bytes) -> None:
    with proxy.connected() as connection, proxy.connected() as other:
        _begin(connection, length=1000, sent=1)
        wait_until(lambda: proxy.service.metric("pneumoscope_queue_depth") == 1)
        other.request("POST", "/v1/predictions", xray)
        refused = other.getresponse()
        assert refused.status == 429  # one place a client
        assert int(refused.getheader("retry-after") or 0) >= 1
        assert "this client" in json.loads(refused.read())["detail"]


def _begin(connection: HTTPSConnection, *, length: int, sent: int) -> None:
    """Begin a request, and do not end it."""
    connection.putrequest("POST", "/v1/predictions")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    connection.send(b"\xff" * sent)
