"""Read an image and make the objects that report the result."""

from __future__ import annotations

import dataclasses
import io
import multiprocessing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ImageError, UnsupportedImageError
from pneumoscope.hospital.objects import is_own, objects_of
from pneumoscope.hospital.source import read_header
from pneumoscope.images.record import DicomRecord
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, ModelName, Prediction
from pneumoscope.reader.records import record_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pydicom.dataset import Dataset

    from pneumoscope.hospital.objects import Made
    from pneumoscope.reader.predictor import Predictor

NOT_READ = "NOT_READ"
"""The conclusion of a record about an object that is not read, such as one of this package."""

LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object as a file.

    Attributes:
        kind: ``report``, ``picture`` or ``presentation``.
        uid: Its SOP Instance UID.
        sop_class: Its SOP Class UID.
        content: The bytes of the file.
    """

    kind: str
    uid: str
    sop_class: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested objects of an image.

    Attributes:
        outline: Whether to create a presentation state with the outline of the evidence.
        institution: Name of the institution in reports.
    """

    outline: bool = False
    institution: str = ""


PLAIN = Wanted()


@dataclass(frozen=True, slots=True)
class Answer:
    """The objects returned for an image.

    Attributes:
        record: The record of the image.
        objects: The objects; none without a header to refer to, or without an image to read.
    """

    record: dict[str, Any]
    objects: tuple[Encoded, ...] = ()


def answer_to(
    content: bytes, predictor: Predictor, *, made: datetime, wanted: Wanted = PLAIN, fault: str = ""
) -> Answer:
    """Read an image, and return its answer.

    Args:
        content: The image, a DICOM file.
        predictor: The reader.
        made: Time stated in the objects.
        wanted: The requested objects.
        fault: Why the image cannot be read, if known; it is then not read.
    """
    try:
        header = read_header(content)
    except ImageError as error:
        return Answer({"conclusion": ERROR, "error": str(error)})
    if own := is_own(header):
        return Answer({"conclusion": NOT_READ, "error": own})
    found = failure(predictor, fault) if fault else _predicted(content, predictor)
    objects = objects_of(
        *(header, content, found, predictor),
        made=made,
        outline=wanted.outline,
        institution=wanted.institution,
    )
    if found.dicom is None:  # nothing was decoded, but the record identifies the image
        found = dataclasses.replace(found, dicom=_origin(header))
    return Answer(record_of(found), tuple(encoded(one) for one in objects))


def answer_apart(
    content: bytes,
    predictor: Predictor,
    *,
    made: datetime,
    wanted: Wanted = PLAIN,
    seconds: float = LONGEST_SECONDS,
) -> Answer:
    """Read an image in a separate process, which may die; return its answer.

    For images during whose reading the node ended before, since a damaged image may crash a
    decoder.

    Args:
        content: The image, a DICOM file.
        predictor: The reader.
        made: Time stated in the objects.
        wanted: The requested objects.
        seconds: Time limit after which the process is ended.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=_answer_into, args=(there, content, predictor, made, wanted), daemon=True
    )
    process.start()
    there.close()
    fault = ""
    try:
        if here.poll(seconds):
            answer: Answer = here.recv()
            return answer
        fault = f"reading this image took longer than {seconds:.0f} seconds"
    except EOFError:
        process.join()
        fault = f"the process that read this image died (exit code {process.exitcode})"
    finally:
        here.close()
        process.kill()
        process.join()
    return answer_to(content, predictor, made=made, wanted=wanted, fault=fault)


def failure(predictor: Predictor, reason: str) -> Prediction:
    """Return the prediction of an image that cannot be read."""
    info = predictor.info
    point = None if info.findings else info.operating_point  # else each finding has its own
    return Prediction(
        "",
        ERROR,
        None,
        None,
        None if point is None else point.threshold,
        reason,
        rule="" if point is None else point.rule,
        model=ModelName(info.name, info.version, predictor.sha256),
    )


def encoded(one: Made) -> Encoded:
    """Return an object as a file."""
    data: Dataset = one.data
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return Encoded(one.kind, one.uid, str(data.SOPClassUID), out.getvalue())


def _origin(header: Dataset) -> DicomRecord:
    syntax = header.file_meta.get("TransferSyntaxUID", "") if hasattr(header, "file_meta") else ""
    return DicomRecord(
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
        str(syntax),
        str(header.get("PhotometricInterpretation", "")),
    )


def _predicted(content: bytes, predictor: Predictor) -> Prediction:
    try:
        return predictor.predict(content)
    except UnsupportedImageError as fault:  # such as an image for processing, which is not read
        reason = _reason(fault)
        found = failure(predictor, "")
        return dataclasses.replace(found, conclusion=NOT_ASSESSABLE, reasons=(reason,))
    except ImageError as fault:
        return failure(predictor, _reason(fault))


def _reason(fault: ImageError) -> str:
    return str(fault).removeprefix("<bytes>: ")


def _answer_into(
    there: Connection, content: bytes, predictor: Predictor, made: datetime, wanted: Wanted
) -> None:
    there.send(answer_to(content, predictor, made=made, wanted=wanted))
    there.close()
