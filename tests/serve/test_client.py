"""The client of the service."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from PIL import Image

from helpers.service import Running, running
from pneumoscope import client as module
from pneumoscope.client import ATTEMPTS, Client
from pneumoscope.errors import OptionError, PneumoscopeError, ServiceError
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import record_of

TOKEN = "s3cret"  # noqa: S105 - of a service that ends with its test


def test_a_file_and_its_bytes_give_the_record(
    service: Running, xray: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpeg"
    path.write_bytes(xray)
    asked = Client(service.url)
    expected = json.loads(json.dumps(record_of(Predictor().predict(path))))
    found = asked.predict(path)
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    assert asked.predict(xray)["logit"] == expected["logit"]
    assert asked.predict(xray)["path"] == ""
    assert asked.ready()


def test_evidence_is_a_picture(service: Running, xray: bytes) -> None:
    asked = Client(f"{service.url}/")
    record = asked.predict(xray, evidence=True)
    assert Image.open(io.BytesIO(asked.evidence(record))).size == (600, 500)
    with pytest.raises(ServiceError, match="has no evidence picture"):
        asked.evidence(asked.predict(xray))
    with pytest.raises(ServiceError, match="no such picture") as gone:
        asked.evidence({"evidence": "/v1/evidence/other"})
    assert gone.value.status == 404


def test_refusals_say_the_reason(service: Running, xray: bytes) -> None:
    asked = Client(service.url)
    with pytest.raises(ServiceError, match=r"status 422") as refused:
        asked.predict(b"no image")
    assert refused.value.status == 422
    assert isinstance(refused.value, PneumoscopeError)
    with pytest.raises(ServiceError, match="there is no model 'other'"):
        asked.predict(xray, model="other")
    assert asked.predict(xray, model="default")["model"]["sha256"] == Predictor().sha256


def test_a_token_is_sent(xray: bytes) -> None:
    with running("--workers", "1", env={"PNEUMOSCOPE_TOKEN": TOKEN}) as service:
        assert Client(service.url, token=TOKEN).predict(xray)["threshold"] > 0
        with pytest.raises(ServiceError, match="a bearer token is required") as refused:
            Client(service.url).predict(xray)
        assert refused.value.status == 401


@contextmanager
def answering(*statuses: int, wait: str = "1") -> Iterator[tuple[str, list[str]]]:
    """Answer one request after the other with these statuses."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            status = statuses[min(len(asked), len(statuses)) - 1]
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", wait)
            self.end_headers()
            self.wfile.write(b'{"detail": "full", "conclusion": "NORMAL"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_busy_service_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("pneumoscope.client.time.sleep", waited.append)
    with answering(429, 429, 200, wait="7") as (url, asked):
        assert Client(url).predict(b"x")["conclusion"] == "NORMAL"
    assert (len(asked), waited) == (3, [7, 7])


def test_it_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("pneumoscope.client.time.sleep", waited.append)
    with answering(429, wait="100000") as (url, asked), pytest.raises(ServiceError, match="full"):
        Client(url).predict(b"x")
    assert len(asked) == ATTEMPTS
    assert waited == [module.LONGEST_WAIT_SECONDS] * (ATTEMPTS - 1)


@pytest.mark.parametrize(("status", "wait"), [(503, "1"), (429, ""), (500, "1")])
def test_other_faults_are_told_at_once(status: int, wait: str) -> None:
    with answering(status, wait=wait) as (url, asked), pytest.raises(ServiceError) as refused:
        Client(url).predict(b"x")
    assert (len(asked), refused.value.status) == (1, status)


def test_where_nothing_listens_nothing_is_ready() -> None:
    with answering(200) as (url, _):
        pass
    assert not Client(url).ready()
    with pytest.raises(ServiceError, match=r"does not respond \(.*refused"):
        Client(url).predict(b"x")
    with pytest.raises(OptionError, match="url must be"):
        Client("file:///etc/passwd")
