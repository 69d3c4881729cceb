"""The node between dcmtk as a modality and Orthanc as the archive."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from helpers.orthanc import DICOM, orthanc
from helpers.pacs import PICTURE, REPORT, figures, node
from helpers.service import wait_until

Chest = Callable[..., bytes]
IMAGE = "1.2.840.10008.5.1.4.1.1.1"


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("over", ["dicom", "web"])
def test_objects_are_found_in_orthanc_beside_the_image(
    chest: Chest, tmp_path: Path, over: str
) -> None:
    with orthanc(tmp_path) as archive:
        to = {"host": "127.0.0.1", "port": DICOM, "ae_title": "ORTHANC"}
        if over == "web":
            to = {"url": archive.url}
        within = archive.network.command
        with node(tmp_path, within=within, port=11112, destinations={"archive": to}):
            image = tmp_path / "image.dcm"
            image.write_bytes(chest(1, PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"))
            for port, called in ((11112, "PNEUMOSCOPE"), (DICOM, "ORTHANC")):
                sent = archive.network.run(
                    *(str(shutil.which("storescu")), "-aec", called, "127.0.0.1", str(port), image)
                )
                assert sent.returncode == 0, sent.stderr
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 2}, seconds=90)
        found = archive.instances("1.2.840.99.1")
        assert sorted(found.values()) == sorted([IMAGE, REPORT, PICTURE])
        assert len(archive.json("/studies")) == 1
        assert len(archive.json("/patients")) == 1
        assert len(archive.json("/series")) == 3
        (picture,) = [uid for uid, sop_class in found.items() if sop_class == PICTURE]
        series = next(
            one["0020000E"]["Value"][0]
            for one in archive.json("/dicom-web/studies/1.2.840.99.1/series")
            if "pneumoscope evidence" in one.get("0008103E", {}).get("Value", [""])[0]
        )
        place = f"/dicom-web/studies/1.2.840.99.1/series/{series}/instances/{picture}/rendered"
        shown = Image.open(io.BytesIO(archive.get(place, accept="image/png")))
        assert shown.size == (340, 300)
        assert len(shown.convert("RGB").getcolors(1 << 20) or []) > 256  # colours, not grey alone
