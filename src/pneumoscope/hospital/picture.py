"""The evidence as a Secondary Capture image.

Written element by element, since SCImage of highdicom 0.28.2 neither writes BurnedInAnnotation nor
refers to the source image.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from pneumoscope.hospital.identity import DERIVATION, MANUFACTURER, Device, equipment
from pneumoscope.hospital.source import take_over

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

SERIES_NUMBER: Final = 9702


def picture(
    header: Dataset, pixels: NDArray[np.uint8], device: Device, *, made: datetime
) -> Dataset:
    """Return a picture with its evidence as Secondary Capture.

    Args:
        header: Header of the image.
        pixels: The picture, uint8 [height, width, 3], including the notice.
        device: The device that read the image.
        made: Time of reading.
    """
    found = pydicom.Dataset()
    instance = device.instance_uid(str(header.SOPInstanceUID), "picture")
    _general(found, header, device, made, instance)
    _image(found, pixels)
    _derivation(found, header)
    take_over(header, found)
    found.file_meta = FileMetaDataset()
    found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    return found


def _general(
    found: Dataset, header: Dataset, device: Device, made: datetime, instance: str
) -> None:
    found.SOPClassUID = SecondaryCaptureImageStorage
    found.SOPInstanceUID = instance
    found.SeriesInstanceUID = device.series_uid(str(header.StudyInstanceUID), "picture")
    found.SeriesNumber = SERIES_NUMBER
    found.SeriesDescription = "pneumoscope evidence: research, not a medical device"
    found.SeriesDate = found.ContentDate = made.strftime("%Y%m%d")
    found.SeriesTime = found.ContentTime = made.strftime("%H%M%S")
    found.InstanceNumber = 1
    found.Modality = str(header.get("Modality") or "OT")
    found.Laterality = ""  # of type 2C, since the chest is not defined as unpaired
    found.ConversionType = "WSD"
    found.Manufacturer = MANUFACTURER
    found.ManufacturerModelName = device.model_name[:64]
    found.DeviceSerialNumber = device.model_sha256[:64]
    found.SoftwareVersions = device.versions
    found.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    found.SecondaryCaptureDeviceManufacturerModelName = device.model_name[:64]
    found.SecondaryCaptureDeviceSoftwareVersions = device.versions
    found.DateOfSecondaryCapture = made.strftime("%Y%m%d")
    found.TimeOfSecondaryCapture = made.strftime("%H%M%S")
    found.ContributingEquipmentSequence = [equipment(device, made)]


def _image(found: Dataset, pixels: NDArray[np.uint8]) -> None:
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3
    found.PhotometricInterpretation = "RGB"
    found.PlanarConfiguration = 0
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit = 7
    found.PixelRepresentation = 0
    found.BurnedInAnnotation = "YES"
    found.RecognizableVisualFeatures = "NO"


def _derivation(found: Dataset, header: Dataset) -> None:
    found.ImageType = list(DERIVATION)
    found.PatientOrientation = header.get("PatientOrientation") or ""
    found.DerivationDescription = "Evidence of an automatic reading, drawn over the image"
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    purpose = pydicom.Dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source of image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    found.SourceImageSequence = [item]
