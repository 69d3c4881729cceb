"""Objects out: C-STORE and STOW-RS, with patience."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pydicom
from pynetdicom import AE
from pynetdicom.presentation import build_context

from pneumoscope.hospital.receive import client_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

    from pneumoscope.hospital.queue import Delivery, Queue
    from pneumoscope.hospital.settings import Destination

LONGEST_SLEEP_SECONDS = 5.0

_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
_DUPLICATE = 0x0111  # "duplicate SOP instance": the destination has it already
_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with remarks

_log = logging.getLogger("pneumoscope.hospital")


class Link(ABC):
    """A way to a destination."""

    @abstractmethod
    def send(self, data: Dataset) -> str:
        """Send an object; return why it was not accepted, empty if it was.

        Raises:
            OSError: The destination cannot be reached.
        """

    @abstractmethod
    def has(self, data: Dataset) -> bool | None:
        """Return whether the destination has an object; None if it does not tell."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Let go of the destination."""


class StoreLink(Link):
    """C-STORE over one association, which stays open while there is something to send."""

    def __init__(self, destination: Destination, *, ae_title: str) -> None:
        self._destination = destination
        self._ae = AE(ae_title=ae_title)
        self._ae.network_timeout = destination.seconds
        self._ae.acse_timeout = destination.seconds
        self._ae.dimse_timeout = destination.seconds
        self._ae.connection_timeout = destination.seconds
        self._association: Any = None

    def send(self, data: Dataset) -> str:
        """Send an object over the association."""
        association = self._associated(str(data.SOPClassUID))
        if association is None:
            return "the destination does not take objects of this class"
        status = association.send_c_store(data)
        if not status:
            self.close()
            raise ConnectionError("the destination gave no answer")
        code = int(status.Status)
        if code in {0, _DUPLICATE} or code in _WARNINGS:
            return ""
        return f"status 0x{code:04X} {status.get('ErrorComment', '')}".strip()

    def has(self, data: Dataset) -> bool | None:  # noqa: ARG002 - see Link
        """Return None: C-STORE alone cannot ask."""
        return None

    def close(self) -> None:
        """Release the association."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def _associated(self, sop_class: str) -> Any:
        if self._association is not None and self._association.is_established:
            if _accepts(self._association, sop_class):
                return self._association
            self.close()
        one = self._destination
        association = self._ae.associate(
            one.host,
            one.port,
            contexts=[build_context(sop_class, _SYNTAXES) for sop_class in _classes(sop_class)],
            ae_title=one.ae_title,
            tls_args=(client_context(one.tls), one.host) if one.tls else None,
        )
        if not association.is_established:
            association.abort()
            raise ConnectionError("the destination accepts no association")
        self._association = association
        return association if _accepts(association, sop_class) else None


class WebLink(Link):
    """STOW-RS."""

    def __init__(self, destination: Destination) -> None:
        from dicomweb_client.api import DICOMwebClient  # noqa: PLC0415 - for DICOMweb alone
        from requests import Session  # noqa: PLC0415

        session = Session()
        if destination.tls:
            session.cert = (str(destination.tls.certificate), str(destination.tls.key))
            session.verify = str(destination.tls.authorities)
        self._client = DICOMwebClient(destination.url, session=session)
        self._client.set_http_retry_params(retry=False)

    def send(self, data: Dataset) -> str:
        """Send an object; an answer that lists it as failed is a refusal."""
        from requests import HTTPError, RequestException  # noqa: PLC0415

        try:
            answer = self._client.store_instances([data])
        except HTTPError as fault:
            return f"HTTP {fault.response.status_code if fault.response is not None else '?'}"
        except RequestException as fault:
            raise ConnectionError(type(fault).__name__) from fault
        failed = answer.get("FailedSOPSequence") or []
        if failed:
            return f"failure reason 0x{int(failed[0].get('FailureReason', 0)):04X}"
        stored = {
            str(one.ReferencedSOPInstanceUID) for one in answer.get("ReferencedSOPSequence", [])
        }
        return "" if str(data.SOPInstanceUID) in stored else "the answer does not name the object"

    def has(self, data: Dataset) -> bool | None:
        """Return whether QIDO-RS finds the object."""
        from requests import RequestException  # noqa: PLC0415

        try:
            found = self._client.search_for_instances(
                study_instance_uid=str(data.StudyInstanceUID),
                search_filters={"SOPInstanceUID": str(data.SOPInstanceUID)},
            )
        except RequestException:
            return None
        return bool(found)


class Sender(threading.Thread):
    """Delivers what one destination is to get.

    Args:
        destination: Who gets it.
        queue: What has to be sent.
        link: Makes the way to it.
    """

    def __init__(self, destination: Destination, queue: Queue, link: Callable[[], Link]) -> None:
        super().__init__(name=f"to {destination.name}", daemon=True)
        self._destination = destination
        self._queue = queue
        self._new_link = link
        self._wake = threading.Event()
        self._ended = threading.Event()

    def wake(self) -> None:
        """Look into the queue now."""
        self._wake.set()

    def end(self) -> None:
        """Finish the object in hand, and end."""
        self._ended.set()
        self._wake.set()
        self.join()

    def run(self) -> None:
        """Send what is due until it is ended."""
        link = self._new_link()
        self._settle(link)
        while not self._ended.is_set():
            self._wake.clear()
            batch = self._queue.due(self._destination.name)
            for delivery in batch:
                if self._ended.is_set():
                    break
                self._send(link, delivery)
            if not batch:
                link.close()
                self._wake.wait(LONGEST_SLEEP_SECONDS)
        link.close()

    def _settle(self, link: Link) -> None:
        """Ask for what was being sent when a node ended, so that nothing is sent twice."""
        for delivery in self._queue.unsure(self._destination.name):
            if link.has(pydicom.dcmread(delivery.path, stop_before_pixels=True)):
                self._queue.mark_sent(delivery)
            else:
                self._queue.mark_waiting(delivery)

    def _send(self, link: Link, delivery: Delivery) -> None:
        self._queue.mark_sending(delivery)
        try:
            error = link.send(pydicom.dcmread(delivery.path))
        except OSError as fault:
            error = str(fault) or type(fault).__name__
        if not error:
            self._queue.mark_sent(delivery)
            return
        facts = {"destination": self._destination.name, "uid": delivery.uid, "reason": error}
        _log.warning("not_accepted", extra={"facts": facts})
        self._queue.mark_refused(delivery, error, most=self._destination.attempts)


def link_to(destination: Destination, *, ae_title: str) -> Link:
    """Return the way to a destination."""
    if destination.url:
        return WebLink(destination)
    return StoreLink(destination, ae_title=ae_title)


def _accepts(association: Any, sop_class: str) -> bool:
    return any(str(one.abstract_syntax) == sop_class for one in association.accepted_contexts)


def _classes(sop_class: str) -> Sequence[str]:
    """Return the classes to propose: those of all kinds of objects, so that one will do."""
    ours = ["1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"]
    return ours if sop_class in ours else [*ours, sop_class]
