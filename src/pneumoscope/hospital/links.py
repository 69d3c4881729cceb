"""Connections to destinations: C-STORE, C-FIND and storage commitment, or DICOMweb."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from pneumoscope.hospital.receive import STORAGE_COMMITMENT, client_context
from pneumoscope.hospital.transport import keep_answers

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

    from pneumoscope.hospital.rows import Delivery
    from pneumoscope.hospital.settings import Destination, Tls

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # study root
_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # well-known instance of the push model
_ANSWER_SECONDS = 10.0  # most destinations call back instead of answering
_NO_SEARCH = (400, 404, 405, 406, 410, 415, 501)  # the destination does not support this search
SENT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.88.34",  # report
    "1.2.840.10008.5.1.4.1.1.7",  # picture
    "1.2.840.10008.5.1.4.1.1.11.1",  # presentation
)
_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
_DUPLICATE = 0x0111  # "duplicate SOP instance": the destination has it already
_OUT_OF_RESOURCES = 0xA700
_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with warnings


class NoCommitmentError(RuntimeError):
    """The destination does not support storage commitment."""


class Link(ABC):
    """A connection to a destination."""

    @abstractmethod
    def send(self, data: Dataset) -> str:
        """Send an object; return why it was not accepted, empty if it was.

        Raises:
            OSError: The destination cannot be reached.
        """

    @abstractmethod
    def has(self, data: Dataset) -> bool | None:
        """Return whether the destination has an object; None if unknown.

        Raises:
            OSError: The destination cannot be reached or queried at the moment.
        """

    def ask_commitment(
        self,
        deliveries: Sequence[Delivery],  # noqa: ARG002
        answered: Callable[[], bool],  # noqa: ARG002
    ) -> Dataset | None:
        """Request storage commitment for objects.

        The response comes later by a call to this node, or immediately over this connection, and is
        then returned.

        Args:
            deliveries: The objects.
            answered: Returns whether the destination has responded by a call.

        Raises:
            OSError: The destination cannot be reached.
            NoCommitmentError: Storage commitment is not supported, or refused.
        """
        raise NoCommitmentError("the destination offers no storage commitment")

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close the connection."""


class StoreLink(Link):
    """C-STORE over one association, which is kept open while there are objects to send."""

    def __init__(self, destination: Destination, *, ae_title: str) -> None:
        self._destination = destination
        self._ae = AE(ae_title=ae_title)
        self._ae.network_timeout = destination.seconds
        self._ae.acse_timeout = destination.seconds
        self._ae.dimse_timeout = destination.seconds
        self._ae.connection_timeout = destination.seconds
        self._association: Any = None

    def send(self, data: Dataset) -> str:
        """Send an object; return why it was not accepted, empty if it was."""
        association = self._associated(str(data.SOPClassUID))
        if association is None:
            return "the destination does not accept objects of this class"
        status = association.send_c_store(data)
        if not status:
            association.abort()  # a release would wait for it again
            raise ConnectionError("the destination did not answer")
        code = int(status.Status)
        if code in {0, _DUPLICATE} or code in _WARNINGS:
            return ""
        return f"status 0x{code:04X} {status.get('ErrorComment', '')}".strip()

    def has(self, data: Dataset) -> bool | None:
        """Return whether the destination has an object; None if unknown."""
        association = self._called([*_storage_contexts(), build_context(_FIND)])
        try:
            if not _accepts(association, _FIND):
                return None
            query = Dataset()
            query.QueryRetrieveLevel = "IMAGE"
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(query, name, str(data[name].value))
            found = False
            for status, one in association.send_c_find(query, _FIND):
                if not status or status.Status == _OUT_OF_RESOURCES:
                    raise ConnectionError("the destination did not answer C-FIND")
                if status.Status not in {0x0000, 0xFF00, 0xFF01}:
                    return None
                if one is not None:
                    found = found or one.get("SOPInstanceUID") == data.SOPInstanceUID
            return found
        finally:
            if association.is_established:
                association.release()

    def ask_commitment(
        self, deliveries: Sequence[Delivery], answered: Callable[[], bool]
    ) -> Dataset | None:
        """Request storage commitment for objects."""
        replies: list[Dataset] = []
        replying, replied = threading.Event(), threading.Event()

        def reported(event: Any) -> tuple[int, None]:
            replies.append(event.event_information)
            return 0x0000, None

        def sending(event: Any) -> None:  # pynetdicom 3.0 calls this before sending
            if type(event.message).__name__ == "N_EVENT_REPORT_RSP":
                replying.set()

        def sent(event: Any) -> None:
            if replying.is_set() and type(event.pdu).__name__ == "P_DATA_TF":
                replied.set()

        handlers = [
            (evt.EVT_N_EVENT_REPORT, reported),
            (evt.EVT_DIMSE_SENT, sending),
            (evt.EVT_PDU_SENT, sent),
        ]
        contexts = [*_storage_contexts(), build_context(STORAGE_COMMITMENT)]
        association = self._called(contexts, handlers)
        try:
            if not _accepts(association, STORAGE_COMMITMENT):
                raise NoCommitmentError("the destination offers no storage commitment")
            request = Dataset()
            request.TransactionUID = generate_uid()
            request.ReferencedSOPSequence = [_reference(one) for one in deliveries]
            status, _ = association.send_n_action(
                request, 1, STORAGE_COMMITMENT, _COMMITMENT_INSTANCE
            )
            if not status:
                raise ConnectionError(
                    "the destination did not answer the storage commitment request"
                )
            if status.Status != 0:
                code = f"0x{int(status.Status):04X}"
                raise NoCommitmentError(f"storage commitment was refused (status {code})")
            end = time.monotonic() + _ANSWER_SECONDS
            while association.is_established and time.monotonic() < end and not answered():
                if replied.wait(0.05):  # if released earlier, it would wait for the reply
                    break
        finally:
            if association.is_established:
                association.release()
        return replies[0] if replies else None

    def close(self) -> None:
        """Close the connection."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def _associated(self, sop_class: str) -> Any:
        if self._association is not None and self._association.is_established:
            if _accepts(self._association, sop_class):
                return self._association
            self.close()
        association = self._called(_storage_contexts())
        self._association = association
        return association if _accepts(association, sop_class) else None

    def _called(self, contexts: list[Any], handlers: list[Any] | None = None) -> Any:
        one = self._destination
        association = self._ae.associate(
            one.host,
            one.port,
            contexts=contexts,
            ae_title=one.ae_title,
            tls_args=(client_context(one.tls), one.host) if one.tls else None,
            evt_handlers=handlers or [],
        )
        if not association.is_established:
            association.abort()
            raise ConnectionError("the destination accepts no association")
        keep_answers(association)
        return association


class WebLink(Link):
    """STOW-RS."""

    def __init__(self, destination: Destination) -> None:
        self._client = web_client(destination.url, destination.tls, seconds=destination.seconds)
        self._client.set_http_retry_params(retry=False)

    def send(self, data: Dataset) -> str:
        """Send an object; return why it was not accepted, empty if it was."""
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
        return "" if str(data.SOPInstanceUID) in stored else "the response does not list the object"

    def has(self, data: Dataset) -> bool | None:
        """Return whether the destination has an object; None if unknown."""
        from requests import HTTPError, RequestException  # noqa: PLC0415

        try:
            found = self._client.search_for_instances(
                study_instance_uid=str(data.StudyInstanceUID),
                search_filters={"SOPInstanceUID": str(data.SOPInstanceUID)},
            )
        except HTTPError as fault:
            code = fault.response.status_code if fault.response is not None else 0
            if code in _NO_SEARCH:
                return None
            raise ConnectionError(f"the destination cannot be queried (HTTP {code})") from fault
        except RequestException as fault:
            raise ConnectionError(type(fault).__name__) from fault
        return bool(found)


def web_client(url: str, tls: Tls | None, *, seconds: float) -> DICOMwebClient:
    """Return a client of a DICOMweb address with a time limit for responses."""
    from dicomweb_client.api import DICOMwebClient  # noqa: PLC0415 - only for DICOMweb
    from requests import Session  # noqa: PLC0415

    always: dict[str, Any] = {"timeout": seconds}
    if tls:
        always["cert"] = (str(tls.certificate), str(tls.key))
        always["verify"] = str(tls.authorities)
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _adapter(always))
    return DICOMwebClient(url, session=session)


def _adapter(always: dict[str, Any]) -> Any:
    """Return a function that sends each request of a session with the same settings.

    Otherwise the environment variable REQUESTS_CA_BUNDLE would override ``verify`` of the session.
    """
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - only for DICOMweb

    class Adapter(HTTPAdapter):
        def send(self, *args: Any, **more: Any) -> Any:
            return super().send(*args, **{**more, **always})

    return Adapter()


def link_to(destination: Destination, *, ae_title: str) -> Link:
    """Return the connection to a destination."""
    if destination.url:
        return WebLink(destination)
    return StoreLink(destination, ae_title=ae_title)


def _reference(delivery: Delivery) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = delivery.sop_class
    item.ReferencedSOPInstanceUID = delivery.uid
    return item


def _accepts(association: Any, sop_class: str) -> bool:
    return any(str(one.abstract_syntax) == sop_class for one in association.accepted_contexts)


def _storage_contexts() -> list[Any]:
    """Return presentation contexts for all kinds of objects, for one association.

    They are also proposed for other services, which the destination may not support: an association
    without any accepted context ends immediately and appears to be refused.
    """
    return [build_context(sop_class, _SYNTAXES) for sop_class in SENT_CLASSES]
