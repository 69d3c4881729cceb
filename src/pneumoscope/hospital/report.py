"""The structured report of a prediction: Comprehensive 3D SR, TID 1500.

An image that is uncertain, not assessable or unreadable gives a report that states so, since a
missing report must not be mistaken for a normal one.
"""

from __future__ import annotations

from collections.abc import Iterable
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

from pneumoscope.hospital import concepts
from pneumoscope.hospital.concepts import SCHEME, concept_of, own_concept
from pneumoscope.hospital.identity import MANUFACTURER, NOTICE, Device, equipment, uid_of
from pneumoscope.hospital.source import UTF8, evidence_of, take_over
from pneumoscope.reader.findings import POSITIVE
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN, probability_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from pneumoscope.reader.findings import Finding
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.prediction import Prediction

SERIES_NUMBER: Final = 9701


def report(
    header: Dataset,
    found: Prediction,
    device: Device,
    *,
    info: ModelInfo,
    made: datetime,
    institution: str = "",
) -> Dataset:
    """Return the structured report of an image.

    Args:
        header: Header of the image.
        found: The prediction.
        device: The device that read the image.
        info: The metadata of the model.
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
        procedure_reported=concepts.PROCEDURE,
        imaging_measurements=_groups(header, found, device, info),
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


def _groups(
    header: Dataset, found: Prediction, device: Device, info: ModelInfo
) -> list[MeasurementsAndQualitativeEvaluations]:
    """Return the measurement group of the image, and for several findings one of each."""
    status = {ERROR: concepts.FAILED, NOT_ASSESSABLE: concepts.NOT_ATTEMPTED}.get(
        found.conclusion, concepts.SUCCEEDED
    )
    about = concept = presence = None
    if not info.findings:
        about = info.pair[1]
        concept = concept_of(about)
        if status == concepts.SUCCEEDED:
            presence = _presence(found.conclusion, (*info.labels.positive, about))
    whole = _group(
        header,
        device,
        conclusion=found.conclusion,
        status=status,
        concept=concept,
        presence=presence,
        numbers=(found.probability, found.threshold),
        texts=_texts(found, device),
    )
    return [whole, *(_of_finding(header, device, one) for one in found.findings)]


def _of_finding(
    header: Dataset, device: Device, finding: Finding
) -> MeasurementsAndQualitativeEvaluations:
    return _group(
        header,
        device,
        name=finding.name,
        conclusion=finding.conclusion,
        concept=concept_of(finding.name),
        presence=_presence(finding.conclusion, (POSITIVE,)),
        numbers=(finding.probability, finding.threshold),
        texts=[(concepts.NOTICE_NAME, NOTICE)],  # a viewer may show a group on its own
    )


def _group(
    header: Dataset,
    device: Device,
    *,
    conclusion: str,
    concept: CodedConcept | None,
    presence: CodedConcept | None,
    numbers: tuple[float | None, float | None],
    texts: Iterable[tuple[CodedConcept, str]],
    status: CodedConcept | None = None,
    name: str = "",
) -> MeasurementsAndQualitativeEvaluations:
    """Return a measurement group.

    Args:
        header: Header of the image.
        device: The device that read the image.
        conclusion: The conclusion of the reader.
        concept: What the conclusion is about; None for all findings together.
        presence: Whether it is present; None if that was not concluded.
        numbers: Probability and threshold; None if there are none.
        texts: Names and texts.
        status: Status of the analysis; None if it is that of the image.
        name: Name of the finding; empty for the group of the image.
    """
    source_uid = str(header.SOPInstanceUID)
    evaluations = [] if status is None else [QualitativeEvaluation(concepts.STATUS, status)]
    evaluations.append(QualitativeEvaluation(concepts.CONCLUSION, own_concept(conclusion)))
    if concept is not None and presence is not None:
        evaluations.append(QualitativeEvaluation(concept, presence))
    of = (name,) if name else ()
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_of("tracking", source_uid, device.uid, *of),
            identifier=" ".join(("pneumoscope", *of)),
        ),
        # A viewer may show only the finding, so it is only included if present.
        finding_type=concept if presence == concepts.PRESENT else None,
        algorithm_id=AlgorithmIdentification(
            name=f"{MANUFACTURER} {device.model_name}",
            version=" ".join(device.versions[:2]),
            manufacturer=MANUFACTURER,
        ),
        measurements=_measurements(*numbers),
        qualitative_evaluations=evaluations,
        source_images=[SourceImageForMeasurementGroup(str(header.SOPClassUID), source_uid)],
    )
    for title, text in texts:
        group[0].ContentSequence.append(
            TextContentItem(title, text, relationship_type=RelationshipTypeValues.CONTAINS)
        )
    return group


def _texts(found: Prediction, device: Device) -> list[tuple[CodedConcept, str]]:
    """Return the texts about the image as a whole."""
    texts = [(concepts.MODEL, device.model_sha256), (concepts.NOTICE_NAME, NOTICE)]
    if found.conformal_set is not None:
        several = " or " if len(found.classes) > 2 else ", "
        texts.append((concepts.POSSIBLE, several.join(found.conformal_set) or "none"))
    if found.probabilities is not None:
        texts.append((concepts.EACH, each_text(found)))
    reasons = (*found.reasons, found.error) if found.error else found.reasons
    return [*texts, *((concepts.REASON, reason) for reason in reasons)]


def each_text(found: Prediction) -> str:
    """Return the probability of each class as text: ``NORMAL 0.101, BACTERIA 0.702, VIRUS 0.197``.

    Empty for a reader of two classes, whose probability is a measurement.
    """
    each = zip(found.classes, found.probabilities or (), strict=True)
    return ", ".join(f"{name} {probability_text(value)}" for name, value in each)


def _measurements(probability: float | None, threshold: float | None) -> list[Measurement] | None:
    if probability is None or threshold is None:
        return None
    return [
        Measurement(name=concepts.PROBABILITY, value=probability, unit=codes.UCUM.NoUnits),
        Measurement(name=concepts.THRESHOLD, value=threshold, unit=codes.UCUM.NoUnits),
    ]


def _presence(conclusion: str, positive: tuple[str, ...]) -> CodedConcept:
    if conclusion == UNCERTAIN:
        return concepts.INDETERMINATE
    return concepts.PRESENT if conclusion in positive else concepts.ABSENT


def _scheme() -> Dataset:
    item = pydicom.Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Codes of pneumoscope"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return item
