"""The node and dcmtk, with TLS, and with many callers."""

from __future__ import annotations

import io
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComputedRadiographyImageStorage,
    Verification,
)

from helpers.dicom_variants import made
from helpers.orthanc import Namespace
from helpers.pacs import (
    REPORT,
    Archive,
    destination,
    figures,
    images_in,
    issue,
    node,
    send,
)
from helpers.pacs import threads as threads_of
from helpers.service import resident_mb, wait_until
from pneumoscope.hospital.links import SENT_CLASSES
from pneumoscope.hospital.receive import CLASSES, transfer_syntaxes

trustme = pytest.importorskip("trustme", reason="the extra 'dev' is not installed")

Chest = Callable[..., bytes]
STORESCP, STORESCU = shutil.which("storescp"), shutil.which("storescu")


@contextmanager
def storescp(network: Namespace, folder: Path, *options: str) -> Iterator[None]:
    """Run dcmtk's receiver, which listens on all interfaces, in a network of its own."""
    folder.mkdir(exist_ok=True)
    assert STORESCP is not None
    process = subprocess.Popen(
        network.command([STORESCP, "-aet", "ARCHIVE", "-od", folder, *options, "11113"]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not (STORESCP and STORESCU), reason="dcmtk is not installed")
@pytest.mark.parametrize("wrong", ["--refuse", "--abort-during", "--sleep-during 30"])
def test_dcmtk_as_a_destination_that_fails_and_comes_back(
    chest: Chest, tmp_path: Path, wrong: str
) -> None:
    network = Namespace()
    to: dict[str, Any] = {"host": "127.0.0.1", "port": 11113, "ae_title": "ARCHIVE"}
    to |= {"seconds": 2.0, "first_pause": 0.5}
    image = tmp_path / "image.dcm"
    image.write_bytes(chest(1))
    try:
        with node(tmp_path, within=network.command, port=11112, destinations={"a": to}) as running:
            with storescp(network, tmp_path / "bad", *wrong.split()):
                sent = network.run(
                    *(str(STORESCU), "-aec", "PNEUMOSCOPE", "127.0.0.1", "11112", image)
                )
                assert sent.returncode == 0, sent.stderr
                running.wait_for("not_accepted")
            with storescp(network, tmp_path / "good"):
                wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 2}, seconds=90)
    finally:
        network.close()
    kept = {path.name for name in ("bad", "good") for path in (tmp_path / name).iterdir()}
    assert len([name for name in kept if not name.endswith(".lock")]) == 2


def _client(tls: dict[str, str], *, certificate: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls["authorities"])
    if certificate:
        context.load_cert_chain(tls["certificate"], tls["key"])
    return context


def _is_served(port: int, tls: ssl.SSLContext | None) -> bool:
    """Return whether a node answers what is no association, instead of hanging up."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    try:
        with tls.wrap_socket(plain, server_hostname="localhost") if tls else plain as connection:
            connection.sendall(b"\x01\x00\x00\x00\x00\x04none")
            return bool(connection.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        plain.close()


def test_tls_asks_both_sides_for_a_certificate(chest: Chest, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    ours = issue(authority, tmp_path, "node")
    theirs = issue(authority, tmp_path, "archive")
    strange = {**issue(stranger, tmp_path, "strange"), "authorities": ours["authorities"]}
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "archive-ca.pem")
    )
    context.load_cert_chain(theirs["certificate"], theirs["key"])
    context.verify_mode = ssl.CERT_REQUIRED
    archive = Archive(ssl_context=context)
    to = {"archive": destination(archive, tls=ours)}
    try:
        with node(tmp_path, tls=ours, destinations=to) as running:
            before = threads_of(running.process.pid)
            # A peer without TLS must not keep a thread.
            for tls in (_client(strange), _client(ours, certificate=False), None):
                assert not _is_served(running.port, tls)
            assert send(running.port, chest(1), tls=_client(ours)) == [0]
            wait_until(lambda: len(archive.got) == 2, seconds=60)
            wait_until(lambda: threads_of(running.process.pid) <= before + 1, seconds=60)
    finally:
        archive.stop()


def test_a_destination_with_a_strange_certificate_gets_nothing(
    chest: Chest, tmp_path: Path
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    ours = issue(authority, tmp_path, "node")
    theirs = issue(stranger, tmp_path, "archive")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs["certificate"], theirs["key"])
    archive = Archive(ssl_context=context)
    try:
        with node(tmp_path, destinations={"archive": destination(archive, tls=ours)}) as running:
            assert send(running.port, chest(1)) == [0]
            running.wait_for("not_accepted")
            assert not archive.got
    finally:
        archive.stop()


def test_many_associations_that_break_off_cost_nothing(archive: Archive, tmp_path: Path) -> None:
    """12 associations with 5 images each; every third is aborted after its second.

    benchmarks/hospital.py sends 1,000.
    """
    pixels = np.zeros((64, 64), np.uint16)  # no radiograph: its report says so, and costs little
    pixels[16:48] = 3000
    base = made(pixels, 12, StudyInstanceUID="1.2.840.99.9", SeriesInstanceUID="1.2.840.99.9.1")
    with node(tmp_path, archive, keep_images=True) as running:
        pid = running.process.pid
        threads, sockets = threads_of(pid), _sockets(pid)
        assert send(running.port, _renamed(base, "1.2.840.99.9.0")) == [0]
        wait_until(lambda: images_in(tmp_path)["read"] == 1, seconds=60)
        memory, expected = resident_mb(pid), 1
        for association in range(12):
            contents = [_renamed(base, f"1.2.840.99.9.{association}.{n}") for n in range(1, 6)]
            stop = 2 if association % 3 == 0 else None
            answers = send(running.port, *contents, abort_after=stop)
            assert answers == [0] * (stop or 5)
            expected += len(answers)
        wait_until(lambda: images_in(tmp_path) == {"waiting": 0, "read": expected}, seconds=240)
        wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": expected}, seconds=240)
        wait_until(lambda: threads_of(pid) <= threads and _sockets(pid) <= sockets, seconds=30)
        assert resident_mb(pid) < memory + 60
        assert running.stop() == 0
    assert len(archive.uids) == len(set(archive.uids)) == expected
    assert {str(one.SOPClassUID) for one in archive.got} == {REPORT}


def _renamed(content: bytes, uid: str) -> bytes:
    image = pydicom.dcmread(io.BytesIO(content))
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(uid)
    out = io.BytesIO()
    image.save_as(out)
    return out.getvalue()


def _sockets(pid: int) -> int:
    links = [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    return sum(str(path.readlink()).startswith("socket:") for path in links)


def test_what_is_negotiated_is_what_the_conformance_statement_says(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/reference/dicom-conformance.md"
    text = page.read_text(encoding="utf-8")
    offered = [*CLASSES, Verification, "1.2.840.10008.1.20.1"]
    others = ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.34"]
    # JPEG XL, MPEG-2, JPEG 2000 with several components
    not_read = ["1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.92"]
    with node(tmp_path, None) as running:
        accepted = set()
        for sop_class in (*CLASSES, Verification, *others):
            for syntax in (*transfer_syntaxes(), *not_read):
                ae = AE()
                ae.add_requested_context(sop_class, syntax)
                association = ae.associate("127.0.0.1", running.port, ae_title="PNEUMOSCOPE")
                if association.is_established:
                    if association.accepted_contexts:
                        accepted.add((str(sop_class), syntax))
                    association.release()
    images = {(str(one), syntax) for one in CLASSES for syntax in transfer_syntaxes()}
    assert {pair for pair in accepted if pair[0] != Verification} == images
    for uid in (*map(str, offered), *transfer_syntaxes(), *SENT_CLASSES):
        assert f"`{uid}`" in text, uid
    assert not [uid for uid in (*others[:1], *not_read) if f"`{uid}`" in text]
    assert str(ComputedRadiographyImageStorage) in text
