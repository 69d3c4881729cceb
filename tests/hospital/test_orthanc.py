"""The node between dcmtk as a modality and Orthanc as the archive."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image

from helpers import tls_proxy
from helpers.dicom_variants import JPEG_2000, j2k
from helpers.orthanc import DICOM, HTTP, Namespace, needed, orthanc
from helpers.pacs import PICTURE, PRESENTATION, REPORT, figures, issue, node
from helpers.service import wait_until

trustme = pytest.importorskip("trustme", reason="the extra 'dev' is not installed")

Chest = Callable[..., bytes]
HTTPS = "https://127.0.0.1:8043"
IMAGE = "1.2.840.10008.5.1.4.1.1.1"


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("over", ["dicom", "web"])
def test_objects_are_found_in_orthanc_beside_the_image(
    chest: Chest, tmp_path: Path, over: str
) -> None:
    with orthanc(tmp_path) as archive:
        to: dict[str, Any] = {"host": "127.0.0.1", "port": DICOM, "ae_title": "ORTHANC"}
        if over == "web":
            to = {"url": archive.url}
        to["kinds"] = ["report", "picture", "presentation"]
        within = archive.network.command
        with node(tmp_path, within=within, port=11112, destinations={"archive": to}):
            image = tmp_path / "image.dcm"
            image.write_bytes(chest(1, PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"))
            for port, called in ((11112, "PNEUMOSCOPE"), (DICOM, "ORTHANC")):
                sent = archive.network.run(
                    *(str(shutil.which("storescu")), "-aec", called, "127.0.0.1", str(port), image)
                )
                assert sent.returncode == 0, sent.stderr
            wait_until(lambda: figures(tmp_path)["deliveries"] == {"sent": 3}, seconds=90)
        found = archive.instances("1.2.840.99.1")
        assert sorted(found.values()) == sorted([IMAGE, REPORT, PICTURE, PRESENTATION])
        assert len(archive.json("/studies")) == 1
        assert len(archive.json("/patients")) == 1
        assert len(archive.json("/series")) == 4
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


@pytest.mark.parametrize("over", ["dicom", "web"])
def test_an_archive_is_read_by_date_and_goes_on_where_it_was(
    chest: Chest, tmp_path: Path, over: str
) -> None:
    with orthanc(tmp_path) as archive:

        def put(*contents: bytes) -> None:
            for content in contents:
                archive.put(content)

        place = "ORTHANC@127.0.0.1:4242" if over == "dicom" else archive.url
        command = (
            *(sys.executable, "-m", "pneumoscope", "pull", "--from", place),
            *("--study-date", "20261127", "--out", tmp_path / "results.jsonl"),
            *("--listen", "127.0.0.1:11112"),
        )
        pixels = pydicom.dcmread(io.BytesIO(chest(3))).pixel_array
        compressed = chest(3, syntax=JPEG_2000, frame=j2k(pixels, 12))
        put(
            *(chest(1), chest(2), compressed),
            chest(4, StudyDate="20250101"),
            chest(5, Modality="MG"),
            chest(7, ImageType=["DERIVED", "SECONDARY"], SOPClassUID=PICTURE),
        )
        done = archive.network.run(*command)
        assert done.returncode == 0, done.stderr
        records = _records(tmp_path)
        assert sorted(one["dicom"]["study_uid"] for one in records) == [
            f"1.2.840.99.{number}" for number in (1, 2, 3)
        ]
        by_study = {one["dicom"]["study_uid"]: one for one in records}
        assert by_study["1.2.840.99.3"]["dicom"]["transfer_syntax"] == "1.2.840.10008.1.2.4.90"
        assert by_study["1.2.840.99.1"]["path"] == "1.2.840.99.1/1.2.840.99.1.1/1.2.840.99.1.1.1"

        put(chest(8))
        done = archive.network.run(*command, "--resume")
        assert done.returncode == 0, done.stderr
        after = _records(tmp_path)
        assert len(after) == 4
        kept = {one["path"]: one["seconds"] for one in after}
        assert {one["path"]: one["seconds"] for one in records}.items() <= kept.items()


@contextmanager
def encrypted(network: Namespace, tls: dict[str, str]) -> Iterator[None]:
    """Serve Orthanc's web port by HTTPS beside."""
    ports = [HTTPS.rpartition(":")[2], str(HTTP)]
    program = [sys.executable, str(tls_proxy.__file__), *ports, *tls.values()]
    process = subprocess.Popen(network.command(program), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("over", ["dicom", "web"])
def test_an_archive_is_read_over_tls(chest: Chest, tmp_path: Path, over: str) -> None:
    """Both sides show a certificate; C-MOVE comes back encrypted, too."""
    authority = trustme.CA()
    tls = issue(authority, tmp_path, "ours")
    strange = issue(trustme.CA(), tmp_path, "strange")
    theirs = issue(authority, tmp_path, "archive")
    with orthanc(tmp_path, tls=theirs) as archive, encrypted(archive.network, theirs):
        archive.put(chest(1))
        place = "ORTHANC@127.0.0.1:4242" if over == "dicom" else f"{HTTPS}/dicom-web"

        def pull(shown: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
            return archive.network.run(
                *(sys.executable, "-m", "pneumoscope", "pull", "--from", place),
                *("--study-date", "20261127"),
                *("--out", tmp_path / f"{'results' if shown is tls else 'none'}.jsonl"),
                *("--listen", "127.0.0.1:11112", "--tls-ca", tls["authorities"]),
                *("--tls-cert", shown["certificate"], "--tls-key", shown["key"]),
            )

        assert pull(strange).returncode == 1
        done = pull(tls)
        assert done.returncode == 0, done.stderr
    assert [one["dicom"]["study_uid"] for one in _records(tmp_path)] == ["1.2.840.99.1"]


def _records(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_commands_of_the_guide_run(chest: Chest, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/hospital.md"
    text = page.read_text(encoding="utf-8")

    def block(language: str, number: int = 0) -> str:
        return str(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number])

    (tmp_path / "orthanc.json").write_text(block("json"), encoding="utf-8")
    (tmp_path / "route.lua").write_text(block("lua"), encoding="utf-8")
    (tmp_path / "node.yaml").write_text(block("yaml"), encoding="utf-8")
    (tmp_path / "image.dcm").write_bytes(chest(1))
    command = f"{sys.executable} -m pneumoscope"
    install, *blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert "pip install" in install
    steps = "".join(blocks).replace("pneumoscope node", f"{command} node")
    steps = steps.replace("pneumoscope pull", f"{command} pull")
    script = tmp_path / "guide.sh"
    script.write_text(f"cd {tmp_path}\ntrap 'kill $(jobs -p)' EXIT\nset -ex\n{steps}")
    network = needed()
    try:
        done = network.run("bash", script)
    finally:
        network.close()
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, said
    assert "to archive: 2 sent" in said
    assert '"CountSeries" : 3' in said
    assert 'pneumoscope_node_deliveries{destination="archive",state="sent"} 2.0' in said
    assert "0 deliveries will be retried." in said
    assert "1 images" in said or "1 image" in said
    assert (tmp_path / "results.csv").is_file()
