"""The structured report of a prediction: Comprehensive 3D SR, TID 1500.

An image that is uncertain, not assessable or unreadable gives a report that states so, since a
missing report must not be mistaken for a normal one.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, TM

from pneumoscope.hospital.identity import MANUFACTURER, NOTICE, Device, equipment, uid_of
from pneumoscope.hospital.source import UTF8, evidence_of, take_over
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN, probability_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pneumoscope.reader.prediction import Prediction

SERIES_NUMBER: Final = 9701

SCHEME: Final = "99PNEUMO"
"""The designator of this package's own codes."""

PNEUMONIA: Final = CodedConcept("233604007", "SCT", "Pneumonia")
# The code of TID 1500 (CID 100) that applies to a radiograph; the procedure of the order is in the
# header, as in the image.
_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")
_PRESENT = CodedConcept("52101004", "SCT", "Present")
_ABSENT = CodedConcept("2667000", "SCT", "Absent")
_INDETERMINATE = CodedConcept("82334004", "SCT", "Indeterminate")
_PROBABILITY = CodedConcept("122157", "DCM", "Probability")
_STATUS = CodedConcept("STATUS", SCHEME, "Status of the analysis")
_CONCLUSION = CodedConcept("CONCLUSION", SCHEME, "Conclusion of the reader")
_THRESHOLD = CodedConcept("THRESHOLD", SCHEME, "Decision threshold of the probability")
_POSSIBLE = CodedConcept("POSSIBLE", SCHEME, "Possible classes")
_EACH = CodedConcept("PROBABILITIES", SCHEME, "Probability of each class")
_REASON = CodedConcept("REASON", SCHEME, "Reason")
_NOTICE = CodedConcept("NOTICE", SCHEME, "Notice")
_MODEL = CodedConcept("MODEL", SCHEME, "SHA-256 of the model file")
_SUCCEEDED = CodedConcept("111222", "DCM", "Succeeded")
_FAILED = CodedConcept("111224", "DCM", "Failed")
_NOT_ATTEMPTED = CodedConcept("111225", "DCM", "Not Attempted")


def report(
    header: Dataset,
    found: Prediction,
    device: Device,
    *,
    positive: tuple[str, ...],
    made: datetime,
    institution: str = "",
) -> Dataset:
    """Return the structured report of an image.

    Args:
        header: Header of the image.
        found: The prediction.
        device: The device that read the image.
        positive: The conclusions that mean that the finding is present.
        made: Time of reading.
        institution: Institution that runs the software.
    """
    evidence = evidence_of(header)
    source_uid = str(header.SOPInstanceUID)
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device.uid,
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=device.model_name,
            serial_number=device.model_sha256[:64],
        ),
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=_PROCEDURE,
        imaging_measurements=[_group(header, found, device, positive)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = Comprehensive3DSR(
        evidence=[evidence],
        content=content[0],
        series_instance_uid=device.series_uid(str(header.StudyInstanceUID), "report"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=device.instance_uid(source_uid, "report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=device.model_name,
        software_versions=device.versions,
        device_serial_number=device.model_sha256[:64],
        series_description="pneumoscope: research, not a medical device",
        institution_name=institution or None,
        is_complete=True,
        content_date=made.date(),
        content_time=made.time(),
        series_date=made.date(),
        series_time=made.time(),
        specific_character_set=UTF8,
    )
    document.InstanceCreationDate = DA(made.date())
    document.InstanceCreationTime = TM(made.time().replace(microsecond=0))
    # Set here, since the class of highdicom 0.28 for its items does not support a Device UID.
    document["ContributingEquipmentSequence"] = DataElement(
        0x0018A001, "SQ", Sequence([equipment(device, made)])
    )
    document.CodingSchemeIdentificationSequence = [_scheme()]
    take_over(header, document)
    return document


def _group(
    header: Dataset, found: Prediction, device: Device, positive: tuple[str, ...]
) -> MeasurementsAndQualitativeEvaluations:
    source_uid = str(header.SOPInstanceUID)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_of("tracking", source_uid, device.uid), identifier="pneumoscope"
        ),
        # A viewer may show only the finding, so it is only included if present.
        finding_type=PNEUMONIA if found.conclusion in positive else None,
        algorithm_id=AlgorithmIdentification(
            name=f"{MANUFACTURER} {device.model_name}",
            version=" ".join(device.versions[:2]),
            manufacturer=MANUFACTURER,
        ),
        measurements=_measurements(found),
        qualitative_evaluations=_evaluations(found, positive),
        source_images=[SourceImageForMeasurementGroup(str(header.SOPClassUID), source_uid)],
    )
    texts = [(_MODEL, device.model_sha256), (_NOTICE, NOTICE)]
    if found.conformal_set is not None:
        several = " or " if len(found.classes) > 2 else ", "
        texts.append((_POSSIBLE, several.join(found.conformal_set) or "none"))
    if found.probabilities is not None:
        texts.append((_EACH, each_text(found)))
    reasons = (*found.reasons, found.error) if found.error else found.reasons
    texts += [(_REASON, reason) for reason in reasons]
    for name, text in texts:
        group[0].ContentSequence.append(
            TextContentItem(name, text, relationship_type=RelationshipTypeValues.CONTAINS)
        )
    return group


def each_text(found: Prediction) -> str:
    """Return the probability of each class as text: ``NORMAL 0.101, BACTERIA 0.702, VIRUS 0.197``.

    Empty for a reader of two classes, whose probability is a measurement.
    """
    each = zip(found.classes, found.probabilities or (), strict=True)
    return ", ".join(f"{name} {probability_text(value)}" for name, value in each)


def _measurements(found: Prediction) -> list[Measurement] | None:
    if found.probability is None or found.threshold is None:
        return None
    return [
        Measurement(name=_PROBABILITY, value=found.probability, unit=codes.UCUM.NoUnits),
        Measurement(name=_THRESHOLD, value=found.threshold, unit=codes.UCUM.NoUnits),
    ]


def _evaluations(found: Prediction, positive: tuple[str, ...]) -> list[QualitativeEvaluation]:
    status = {ERROR: _FAILED, NOT_ASSESSABLE: _NOT_ATTEMPTED}.get(found.conclusion, _SUCCEEDED)
    value = CodedConcept(_code_value(found.conclusion), SCHEME, found.conclusion[:64])
    items = [QualitativeEvaluation(_STATUS, status), QualitativeEvaluation(_CONCLUSION, value)]
    if status == _SUCCEEDED:
        presence = (
            _INDETERMINATE
            if found.conclusion == UNCERTAIN
            else _PRESENT
            if found.conclusion in positive
            else _ABSENT
        )
        items.append(QualitativeEvaluation(PNEUMONIA, presence))
    return items


def _code_value(text: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.upper())
    return kept[:16] or "_"


def _scheme() -> Dataset:
    item = pydicom.Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Codes of pneumoscope"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return item
