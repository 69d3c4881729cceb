"""Requests generated from the OpenAPI document, and TLS in both directions."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.service import Running, running
from pneumoscope.client import Client
from pneumoscope.errors import ServiceError

CHECKS = (
    *("not_a_server_error", "status_code_conformance"),
    *("content_type_conformance", "response_schema_conformance"),
)
TOKEN = "s3cret"  # noqa: S105 - of services that end with their test


def test_schemathesis_finds_no_fault(service: Running, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="the extra 'dev' is not installed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "15", "--generation-deterministic"),
            "--no-color",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Tested: 10\n", done.stdout), done.stdout
    assert not service.events("fault")
    assert service.ask("GET", "/v2/health/ready").status == 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the certificates of an authority, a server, a client, and a stranger."""
    trustme = pytest.importorskip("trustme", reason="the extra 'dev' is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(
        folder / "client.pem"
    )
    other.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(
        folder / "stranger.pem"
    )
    return folder


def _context(certificates: Path, client: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates / "authority.pem")
    if client:
        context.load_cert_chain(certificates / f"{client}.pem")
    return context


def test_with_client_certificates_others_are_refused(certificates: Path, xray: bytes) -> None:
    options = (
        *("--host", "0.0.0.0", "--workers", "1"),  # noqa: S104 - what it is for
        *("--tls-certificate", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "server.key")),
        *("--client-ca", str(certificates / "authority.pem")),
    )
    with running(*options) as service:
        url = f"https://127.0.0.1:{service.port}"
        asked = Client(url, context=_context(certificates, "client"))
        assert asked.ready()
        assert asked.predict(xray)["model"]["sha256"]
        for client in ("", "stranger"):
            with pytest.raises(ServiceError, match="does not respond"):
                Client(url, context=_context(certificates, client)).predict(xray)
        assert not Client(f"http://127.0.0.1:{service.port}").ready()  # no TLS at all
        assert asked.ready()


def test_tls_with_a_token(certificates: Path, xray: bytes) -> None:
    options = (
        *("--tls-certificate", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "server.key"), "--workers", "1"),
    )
    with running(*options, env={"PNEUMOSCOPE_TOKEN": TOKEN}) as service:
        url = f"https://127.0.0.1:{service.port}"
        assert Client(url, token=TOKEN, context=_context(certificates)).predict(xray)["model"]
        with pytest.raises(ServiceError, match="CERTIFICATE_VERIFY_FAILED"):
            Client(url, token=TOKEN).predict(xray)


def test_a_key_that_does_not_fit_ends_the_service(certificates: Path) -> None:
    options = (
        *("--tls-certificate", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "client.pem"), "--workers", "1"),
    )
    with pytest.raises(AssertionError, match="--tls-certificate must be"), running(*options):
        pass
