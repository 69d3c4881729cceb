"""Orthanc with DICOMweb, in a network namespace, since Debian's listens on all interfaces."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HTTP, DICOM = 8042, 4242
_ROOT = f"http://127.0.0.1:{HTTP}"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class Namespace:
    """A network namespace with only a loopback interface, and commands in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [_tool("unshare"), "-rn", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "up\n":
            self.close()
            pytest.skip("no network namespace can be made here")

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """Return a command that runs in the network."""
        enter = [_tool("nsenter"), "-t", str(self._holder.pid), "-U", "-n"]
        return [*enter, "--preserve-credentials", *map(str, words)]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; its child processes end with it."""
        process = subprocess.Popen(
            self.command(words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"it did not end: {(out + err).decode('utf-8', 'replace')}")
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


class Orthanc:
    """A running Orthanc.

    Attributes:
        network: The network namespace.
        url: Address of its DICOMweb service.
    """

    def __init__(self, network: Namespace) -> None:
        self.network = network
        self.url = f"{_ROOT}/dicom-web"

    def put(self, content: bytes) -> None:
        """Store an instance."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            body = ("--data-binary", f"@{file.name}", f"{_ROOT}/instances")
            assert self.network.run(_tool("curl"), "-sf", "-X", "POST", *body).returncode == 0

    def get(self, path: str, *, accept: str = "application/json") -> bytes:
        """Return the response; empty if there is none, or an error."""
        address = f"{_ROOT}{path}"
        return self.network.run(_tool("curl"), "-sf", "-H", f"Accept: {accept}", address).stdout

    def json(self, path: str) -> Any:
        return json.loads(self.get(path) or b"[]")

    def instances(self, study: str) -> dict[str, str]:
        """Return the instances of a study: SOP Instance UID to SOP Class UID."""
        found = self.json(f"/dicom-web/studies/{study}/instances")
        return {one["00080018"]["Value"][0]: one["00080016"]["Value"][0] for one in found}


def needed() -> Namespace:
    """Return a network namespace; skip the test if Orthanc or the namespace is not available."""
    for name in ("Orthanc", "unshare", "nsenter", "ip", "curl"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    if not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb is not installed")
    return Namespace()


@contextmanager
def orthanc(
    folder: Path, *, tls: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Orthanc]:
    """Start Orthanc, or skip the test.

    Args:
        folder: Folder of its files.
        tls: Certificate, key and authorities of its DICOM port, as for the node.
        settings: Settings of Orthanc.
    """
    network = needed()
    place = folder / "orthanc.json"
    values = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": HTTP,
        "DicomPort": DICOM,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "Plugins": [str(PLUGIN)],
        "DicomModalities": {"pneumoscope": ["PNEUMOSCOPE", "127.0.0.1", 11112]},
        **settings,
    }
    if tls:
        values |= _encrypted(tls)
    place.write_text(json.dumps(values), encoding="utf-8")
    process = subprocess.Popen(
        network.command([_tool("Orthanc"), place]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = Orthanc(network)
        end = time.monotonic() + 60
        while not found.get("/system"):
            assert process.poll() is None, "Orthanc ended"
            assert time.monotonic() < end, "Orthanc did not start"
            time.sleep(0.1)
        yield found
    finally:
        process.kill()
        process.wait()
        network.close()


def _encrypted(tls: Mapping[str, str]) -> dict[str, Any]:
    node = {"AET": "PNEUMOSCOPE", "Host": "127.0.0.1", "Port": 11112, "UseDicomTls": True}
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": tls["certificate"],
        "DicomTlsPrivateKey": tls["key"],
        "DicomTlsTrustedCertificates": tls["authorities"],
        "DicomModalities": {"pneumoscope": node},
    }


def _tool(name: str) -> str:
    return str(shutil.which(name))
