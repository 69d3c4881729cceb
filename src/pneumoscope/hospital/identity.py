"""Deterministic identifiers of the objects made from an image and a model.

An image that is sent again, by another modality or after a restart, gives the same objects, so that
an archive does not contain two. Another model, or other settings, give other objects.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pydicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "pneumoscope"
NOTICE = "Research software, not a medical device."
DERIVATION = ("DERIVED", "SECONDARY")

_SCOPE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/pneumoscope/#dicom")


@dataclass(frozen=True, slots=True)
class Device:
    """The device identity of a model; each model is a different device.

    Attributes:
        model_name: Name of the network.
        model_version: Version of the model; may be empty.
        model_sha256: The hash of the model file.
        software: The version of this package.
        settings: Other settings that affect the content, such as ``gate=yes``.
    """

    model_name: str
    model_version: str
    model_sha256: str
    software: str
    settings: str = ""

    @property
    def uid(self) -> str:
        """The Device UID."""
        return uid_of("device", self.model_sha256, self.settings, self.software)

    @property
    def versions(self) -> list[str]:
        """The values of Software Versions, at most 64 characters each."""
        model = f"model {self.model_version}".strip()
        return [f"pneumoscope {self.software}"[:64], model[:64], self.model_sha256[:64]]

    def instance_uid(self, source_uid: str, kind: str) -> str:
        """Return the SOP Instance UID of an object.

        Args:
            source_uid: The SOP Instance UID of the image.
            kind: ``report``, ``picture`` or ``presentation``.
        """
        return uid_of("instance", source_uid, kind, self.uid)

    def series_uid(self, study_uid: str, kind: str) -> str:
        """Return the Series Instance UID of the objects of a kind in a study."""
        return uid_of("series", study_uid, kind, self.uid)


def uid_of(*parts: str) -> str:
    """Return a UID below 2.25 derived from texts (PS3.5, B.2).

    >>> uid_of("a", "b") == uid_of("a", "b") != uid_of("ab", "")
    True
    """
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"2.25.{uuid.uuid5(_SCOPE, name).int}"


def equipment(device: Device, made: datetime) -> Dataset:
    """Return the item of the Contributing Equipment Sequence (PS3.3, C.12.1)."""
    item = pydicom.Dataset()
    purpose = pydicom.Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = device.model_name[:64]
    item.DeviceSerialNumber = device.model_sha256[:64]
    item.SoftwareVersions = device.versions
    item.DeviceUID = device.uid
    item.ContributionDateTime = made.strftime("%Y%m%d%H%M%S")
    item.ContributionDescription = f"Automatic reading. {NOTICE}"
    return item
