"""Find radiographs in an archive by date and modality, and fetch them one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from pneumoscope.errors import DataError
from pneumoscope.hospital.links import web_client
from pneumoscope.hospital.receive import CLASSES, client_context, server_context, transfer_syntaxes
from pneumoscope.hospital.transport import keep_answers, prepare

if TYPE_CHECKING:
    from pydicom.uid import UID

    from pneumoscope.hospital.settings import Tls

_FIND, _MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"  # study root
_ANSWER_SECONDS = 60.0
_RADIOGRAPHS = frozenset(str(one) for one in CLASSES[:2])
"""Computed and digital radiographs for presentation. Secondary Captures are excluded, since they
include the pictures of this package."""


@dataclass(frozen=True, slots=True)
class Place:
    """The location of an instance in an archive."""

    study: str
    series: str
    instance: str

    def __str__(self) -> str:
        return f"{self.study}/{self.series}/{self.instance}"

    @classmethod
    def of(cls, text: str) -> Place:
        """Parse the text written by ``str``."""
        return cls(*text.split("/"))


class Source(ABC):
    """An archive to query."""

    @abstractmethod
    def search(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """Yield the matches at the level ``STUDY``, ``SERIES`` or ``IMAGE``.

        Raises:
            DataError: The archive does not respond.
        """

    @abstractmethod
    def fetch(self, place: Place) -> bytes:
        """Return an instance as a DICOM file, in the encoding of the archive.

        Raises:
            OSError: The instance cannot be fetched.
        """

    def find(self, study_date: str, modalities: Sequence[str]) -> Iterator[Place]:
        """Yield the radiographs of a date or range and some modalities, study by study.

        Args:
            study_date: ``YYYYMMDD``, or a range with a hyphen.
            modalities: Modalities, such as CR and DX.

        Raises:
            DataError: The archive does not respond.
        """
        for study in self.search("STUDY", {"StudyDate": study_date, "StudyInstanceUID": ""}):
            keys = {"StudyInstanceUID": str(study.StudyInstanceUID)}
            wanted = {**keys, "SeriesInstanceUID": "", "Modality": ""}
            for series in self.search("SERIES", wanted):
                if series.get("Modality") not in modalities:
                    continue
                inner = {**keys, "SeriesInstanceUID": str(series.SeriesInstanceUID)}
                wanted = {**inner, "SOPInstanceUID": "", "SOPClassUID": ""}
                for one in self.search("IMAGE", wanted):
                    if str(one.get("SOPClassUID") or CLASSES[0]) in _RADIOGRAPHS:
                        yield Place(
                            inner["StudyInstanceUID"],
                            inner["SeriesInstanceUID"],
                            str(one.SOPInstanceUID),
                        )

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close the connection."""


class WebSource(Source):
    """QIDO-RS and WADO-RS.

    Args:
        url: DICOMweb address of the archive.
        tls: Certificates for https; None trusts the usual authorities without a client certificate.
    """

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        self._client = web_client(url, tls, seconds=_ANSWER_SECONDS)
        self._client.set_http_retry_params(retry=True, max_attempts=3)

    def search(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """Query by QIDO-RS, page by page."""
        from requests import RequestException  # noqa: PLC0415

        inside = {
            "study_instance_uid": keys.get("StudyInstanceUID"),
            "series_instance_uid": keys.get("SeriesInstanceUID"),
        }
        ask: Any = {
            "STUDY": self._client.search_for_studies,
            "SERIES": self._client.search_for_series,
            "IMAGE": self._client.search_for_instances,
        }[level]
        filters = {"StudyDate": keys["StudyDate"]} if keys.get("StudyDate") else {}
        try:
            found = ask(
                **{name: uid for name, uid in inside.items() if uid},
                search_filters=filters,
                get_remaining=True,
            )
        except RequestException as fault:
            raise DataError(f"the archive does not respond ({fault}).") from fault
        for one in found:
            yield Dataset.from_json(one)

    def fetch(self, place: Place) -> bytes:
        """Get an instance by WADO-RS, without transcoding."""
        from requests import RequestException  # noqa: PLC0415

        try:
            found = self._client.retrieve_instance(
                place.study,
                place.series,
                place.instance,
                media_types=(("application/dicom", "*"),),
            )
        except (RequestException, ValueError) as fault:
            raise ConnectionError(f"the archive does not provide the image ({fault})") from fault
        out = BytesIO()
        found.save_as(out, enforce_file_format=True)
        return out.getvalue()


class DicomSource(Source):
    """C-FIND, and C-MOVE to this machine.

    Args:
        host: Host of the archive.
        port: Port of the archive.
        called: AE title of the archive.
        ae_title: AE title of this machine; the archive must know its address and port.
        listen: Address and port to which the archive sends.
        tls: Certificates, for TLS in both directions.

    Raises:
        DataError: The archive does not accept associations, or the port cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        called: str,
        ae_title: str,
        listen: tuple[str, int],
        tls: Tls | None = None,
    ) -> None:
        self._arrived: dict[str, bytes] = {}
        self._ae = AE(ae_title=ae_title)
        for sop_class in CLASSES:
            self._ae.add_supported_context(sop_class, transfer_syntaxes())
        for service in (_FIND, _MOVE):
            self._ae.add_requested_context(service)
        try:
            self._ae.start_server(
                listen,
                block=False,
                evt_handlers=[
                    (evt.EVT_C_STORE, self._stored),
                    (evt.EVT_CONN_OPEN, prepare, [_ANSWER_SECONDS]),
                ],
                ssl_context=server_context(tls) if tls else None,
            )
        except OSError as fault:
            raise DataError(
                f"{listen[0]}:{listen[1]}: cannot listen ({fault.strerror})."
            ) from fault
        self._to = (host, port, called, (client_context(tls), host) if tls else None)
        self._association = self._associated()

    def search(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """Query by C-FIND."""
        query = Dataset()
        query.QueryRetrieveLevel = level
        for name, value in keys.items():
            setattr(query, name, value)
        answers = list(self._live().send_c_find(query, _FIND))
        for status, one in answers:
            if not status or status.Status not in {0x0000, 0xFF00, 0xFF01}:
                code = f"0x{int(status.Status):04X}" if status else "none"
                raise DataError(f"the archive does not answer C-FIND (status {code}).")
            if one is not None:
                yield one

    def fetch(self, place: Place) -> bytes:
        """Let the archive send an instance by C-MOVE."""
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = place.study
        query.SeriesInstanceUID = place.series
        query.SOPInstanceUID = place.instance
        last = None
        for status, _ in self._live().send_c_move(query, self._ae.ae_title, _MOVE):
            last = status
        content = self._arrived.pop(place.instance, None)
        if content is None:
            code = f"0x{int(last.Status):04X}" if last else "none"
            raise ConnectionError(f"the archive does not send the image (status {code})")
        return content

    def close(self) -> None:
        """Close the connection."""
        if self._association.is_established:
            self._association.release()
        self._ae.shutdown()

    def _stored(self, event: evt.Event) -> int:
        uid: UID = event.request.AffectedSOPInstanceUID  # type: ignore[union-attr, assignment]
        self._arrived[str(uid)] = event.encoded_dataset()
        return 0x0000

    def _live(self) -> Any:
        if not self._association.is_established:
            self._association = self._associated()
        return self._association

    def _associated(self) -> Any:
        host, port, called, tls = self._to
        association = self._ae.associate(host, port, ae_title=called, tls_args=tls)
        if not association.is_established:
            association.abort()
            self._ae.shutdown()
            raise DataError(f"{called} at {host}:{port} rejects the association.")
        keep_answers(association)
        return association
