"""Receive images by C-STORE; an image is on disk and in the queue before it is acknowledged."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import logging
import math
import shutil
import sqlite3
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt

from pneumoscope.errors import ImageError
from pneumoscope.hospital.durable import write_durably
from pneumoscope.hospital.identity import uid_of
from pneumoscope.hospital.source import read_header
from pneumoscope.hospital.transport import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom.dataset import Dataset
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.events import Event
    from pynetdicom.pdu_primitives import A_ASSOCIATE
    from pynetdicom.transport import ThreadedAssociationServer

    from pneumoscope.hospital.queue import Queue
    from pneumoscope.hospital.settings import NodeSettings, Tls

CLASSES: Final = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
"""Accepted storage classes. Raw images (for processing) are answered with a report that states why
they are not assessed."""

_ALWAYS: Final = (
    "1.2.840.10008.1.2.1",  # explicit VR, little endian
    "1.2.840.10008.1.2",  # implicit VR, little endian
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.201",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K lossless, RPCL
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.2",  # explicit VR, big endian
)
_WITH_IMAGECODECS: Final = (
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
)


def transfer_syntaxes() -> list[str]:
    """Return the transfer syntaxes readable on this machine, in order of preference."""
    more = _WITH_IMAGECODECS if importlib.util.find_spec("imagecodecs") else ()
    return [*_ALWAYS, *more]


SUCCESS, OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
IMPLEMENTATION_UID: Final = uid_of("implementation")
SILENCE_SECONDS: Final = 60.0
_MEGABYTE = 2**20
_PDU_BYTES = 131072  # maximum of dcmtk; the cost of a PDU does not depend on its size

_log = logging.getLogger("pneumoscope.hospital")


class Receiver:
    """Listens for images and adds them to the queue.

    Args:
        settings: Settings of the node.
        queue: The queue.
        arrived: Called after a new image.
    """

    def __init__(self, settings: NodeSettings, queue: Queue, arrived: Callable[[], object]) -> None:
        self._settings = settings
        self._queue = queue
        self._arrived = arrived
        self.folder = settings.folder / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ae = _entity(settings)
        self._locks = [threading.Lock() for _ in range(64)]
        self._last = -math.inf
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The port of the listener."""
        assert self._server is not None  # noqa: S101 - it was started
        port: int = self._server.server_address[1]
        return port

    @property
    def silent_seconds(self) -> float:
        """Time since the last image arrived."""
        return time.monotonic() - self._last

    def start(self) -> None:
        """Listen, in threads.

        Raises:
            OSError: The port cannot be listened on.
        """
        self._server = self._ae.start_server(
            (self._settings.host, self._settings.port),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, prepare, [SILENCE_SECONDS]),
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_C_ECHO, lambda _event: SUCCESS),
                (evt.EVT_C_STORE, self._stored),
                (evt.EVT_N_EVENT_REPORT, self._reported),
            ],
            ssl_context=server_context(self._settings.tls) if self._settings.tls else None,
        )

    def stop(self) -> None:
        """Stop listening and abort associations."""
        self._ae.shutdown()

    def recover(self) -> int:
        """Clean up the folder after a node ended; return the number of images added.

        Partial files are removed, since they were never acknowledged. Complete files that are
        missing in the queue are added to it: their rows were lost in a power failure.
        """
        for path in self.folder.glob("*.part"):
            path.unlink()
        images = self.folder.glob("*.dcm")
        added = 0
        while batch := list(itertools.islice(images, 500)):
            added += sum(self._added(path) for path in self._queue.unknown(batch))
        return added

    def _added(self, path: Path) -> bool:
        try:
            header = read_header(path)
        except ImageError as fault:
            _log.error("not_an_image", extra={"facts": {"reason": str(fault)}})
            return False
        study = str(header.StudyInstanceUID)
        return self._queue.add(str(header.SOPInstanceUID), study=study, path=path, sender="")

    def _requested(self, event: Event) -> None:
        """Reject unknown callers."""
        callers = self._settings.callers
        if not callers:
            return
        request = event.assoc.requestor
        # Its ae_title is only set after this event.
        title = str(cast("A_ASSOCIATE", request.primitive).calling_ae_title).strip()
        allowed = callers.get(title)
        if allowed is None and title in self._committing:
            allowed = ()
        if allowed is None or (allowed and request.address not in allowed):
            _log.warning("rejected", extra={"facts": {"caller": title, "at": request.address}})
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)  # calling AE title not recognised
            event.assoc.kill()

    @property
    def _committing(self) -> dict[str, list[str]]:
        """The destinations with storage commitment, by AE title."""
        found: dict[str, list[str]] = {}
        for one in self._settings.destinations:
            if one.commitment:
                found.setdefault(one.ae_title, []).append(one.name)
        return found

    def _reported(self, event: Event) -> tuple[int, None]:
        """Handle a storage commitment result."""
        title = str(event.assoc.requestor.ae_title).strip()
        note_commitment(self._queue, event.event_information, self._committing.get(title, []))
        return SUCCESS, None

    def _stored(self, event: Event) -> int:
        """Write an image to disk, add it to the queue, and acknowledge it."""
        self._last = time.monotonic()
        free = shutil.disk_usage(self.folder).free
        if free < self._settings.least_free_mb * _MEGABYTE:
            _log.error("disk_full", extra={"facts": {"free_mb": free // _MEGABYTE}})
            return OUT_OF_RESOURCES
        content = event.encoded_dataset()
        request = cast("C_STORE", event.request)
        uid = str(request.AffectedSOPInstanceUID)
        try:
            header = read_header(content)
        except ImageError as fault:
            _log.warning("refused", extra={"facts": {"uid": uid, "reason": str(fault)}})
            return CANNOT_UNDERSTAND
        if (header.SOPInstanceUID, header.SOPClassUID) != (uid, request.AffectedSOPClassUID):
            _log.warning("refused", extra={"facts": {"uid": uid, "reason": "other identifiers"}})
            return MISMATCH
        sender = str(event.assoc.requestor.ae_title).strip()
        study = str(header.StudyInstanceUID)
        try:
            with self._locks[hash(uid) % len(self._locks)]:  # two senders wait for each other
                if self._known(uid, content):
                    return SUCCESS
                self._queue.add(uid, study=study, path=self._written(uid, content), sender=sender)
        except (OSError, sqlite3.Error) as fault:
            _log.error("not_written", extra={"facts": {"reason": str(fault)}})
            return OUT_OF_RESOURCES
        self._arrived()
        return SUCCESS

    def _known(self, uid: str, content: bytes) -> bool:
        """Return whether an image was received before; the first one with a UID is kept."""
        known = self._queue.known(uid)
        if known is None:
            return False
        path, digest = known
        if not digest:  # not read yet
            with contextlib.suppress(FileNotFoundError):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != hashlib.sha256(content).hexdigest():
            _log.warning("other_content", extra={"facts": {"uid": uid}})
        return True

    def _written(self, uid: str, content: bytes) -> Path:
        """Write the file of an image durably and return its path."""
        name = hashlib.sha256(uid.encode()).hexdigest()[:32]  # a UID may be any text
        path = self.folder / f"{name}.dcm"
        write_durably(path, content)
        return path


def note_commitment(queue: Queue, result: Dataset, destinations: Sequence[str]) -> None:
    """Record a storage commitment result (PS3.4, J.3.3)."""
    kept = [str(one.ReferencedSOPInstanceUID) for one in result.get("ReferencedSOPSequence") or []]
    lost = [str(one.ReferencedSOPInstanceUID) for one in result.get("FailedSOPSequence") or []]
    queue.mark_committed(kept, destinations)
    again = queue.mark_lost(lost, destinations)
    facts = {"committed": len(kept), "failed": len(lost), "sent_again": again}
    _log.info("commitment", extra={"facts": facts})


def _entity(settings: NodeSettings) -> AE:
    entity = AE(ae_title=settings.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = "PNEUMOSCOPE"
    entity.maximum_pdu_size = _PDU_BYTES
    entity.maximum_associations = settings.associations
    entity.require_called_aet = settings.check_called
    entity.add_supported_context(VERIFICATION)
    for sop_class in CLASSES:
        entity.add_supported_context(sop_class, transfer_syntaxes())
    if any(one.commitment for one in settings.destinations):
        # The destination calls back as the provider of the service.
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    return entity


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return the TLS context for incoming associations, with client certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.authorities)
    context.load_cert_chain(tls.certificate, tls.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return the TLS context for outgoing associations."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.authorities)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
