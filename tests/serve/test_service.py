"""The responses of the service."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pneumoscope
from helpers.dicom_variants import made
from helpers.service import Running
from pneumoscope.reader.records import record_of
from pneumoscope.serve.openapi import document
from pneumoscope.serve.settings import Settings

TIMED = {"seconds"}


def test_the_record_is_that_of_the_command(service: Running, xray: bytes) -> None:
    reader = pneumoscope.Predictor()
    expected = json.loads(json.dumps(record_of(reader.predict(xray))))
    found = service.predict(xray)
    assert found.status == 200
    record = found.json()
    assert {**record, **dict.fromkeys(TIMED)} == {**expected, **dict.fromkeys(TIMED)}
    assert found.headers["x-model-sha256"] == reader.sha256


def test_the_process_that_answers_loads_nothing_that_reads(service: Running, xray: bytes) -> None:
    assert service.predict(xray).status == 200
    assert service.ask("GET", "/metrics").status == 200
    maps = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
    assert "httptools" in maps
    for library in ("onnxruntime", "numpy", "PIL"):
        assert f"/{library}/" not in maps


def test_an_image_may_come_in_a_form(service: Running, xray: bytes) -> None:
    form = _form(("file", "patient zero.jpeg", xray))
    plain, formed = service.predict(xray).json(), service.ask("POST", "/v1/predictions", *form)
    assert formed.status == 200
    assert formed.json()["path"] == "patient zero.jpeg"
    assert formed.json()["logit"] == plain["logit"]


@pytest.mark.parametrize(
    "files",
    [(), (("file", "a.png", b""),), (("a", "a.png", b"1"), ("b", "b.png", b"2"))],
    ids=["none", "empty", "two"],
)
def test_a_form_must_hold_one_file(
    service: Running, files: tuple[tuple[str, str, bytes], ...]
) -> None:
    found = service.ask("POST", "/v1/predictions", *_form(*files))
    assert found.status == 400
    assert "file" in found.json()["detail"]


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_refused(service: Running, kind: str) -> None:
    found = service.ask("POST", "/v1/predictions", b"no form", {"content-type": kind})
    assert found.status == 400


def test_evidence_is_a_picture_of_the_same_size(service: Running, xray: bytes) -> None:
    found = service.predict(xray, "?evidence=1")
    link = found.json()["evidence"]
    picture = service.ask("GET", link)
    assert picture.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(picture.body))
    assert (image.size, image.mode) == ((600, 500), "RGB")
    assert int(found.headers["x-evidence-seconds"]) == 600
    assert service.ask("GET", link[:-1] + ("A" if link[-1] == "B" else "B")).status == 404


def test_a_picture_shows_what_the_reader_sees(service: Running) -> None:
    pixels = (np.indices((120, 150)).sum(0) * 15).astype(np.uint16)
    inverted = made(4095 - pixels, 12, PhotometricInterpretation="MONOCHROME1")
    found = service.ask("POST", "/v1/pictures", inverted)
    shown = np.asarray(Image.open(io.BytesIO(found.body)))
    assert shown.shape == pixels.shape
    assert np.corrcoef(shown.ravel(), pixels.ravel())[0, 1] > 0.999


def test_an_image_that_cannot_be_judged_is_an_answer(service: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    found = service.predict(_png(noise))
    assert found.status == 200
    record = found.json()
    assert (record["conclusion"], record["probability"]) == ("NOT_ASSESSABLE", None)
    assert record["reasons"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"%PDF-1.7 no image", "NotAnImageError"), (b"\xff\xd8\xff\xe0 cut", "DamagedImageError")],
)
def test_what_cannot_be_read_gets_the_reason(service: Running, content: bytes, kind: str) -> None:
    found = service.predict(content)
    assert found.status == 422
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["kind"] == kind
    assert "<bytes>" not in found.json()["detail"]


def test_too_many_pixels_are_refused(service: Running) -> None:
    huge = bytearray(_png(np.zeros((8, 8), np.uint8)))
    huge[16:24] = (100_000).to_bytes(4) * 2  # the header claims ten billion pixels
    found = service.predict(bytes(huge))
    assert found.status == 422
    assert found.json()["kind"] in {"ImageTooLargeError", "DamagedImageError"}


def test_an_empty_body_is_refused(service: Running) -> None:
    assert service.predict(b"").status == 400


def test_wrong_parameters_are_refused(service: Running, xray: bytes) -> None:
    assert service.predict(xray, "?evidence=perhaps").status == 400
    found = service.predict(xray, "?model=other")
    assert (found.status, "default" in found.json()["detail"]) == (404, True)


def test_health_and_models_are_those_of_the_open_inference_protocol(service: Running) -> None:
    assert service.ask("GET", "/v2/health/live").json() == {"live": True}
    assert service.ask("GET", "/v2/health/ready").json() == {"ready": True}
    assert service.ask("GET", "/v2").json()["name"] == "pneumoscope"
    about = service.ask("GET", "/v2/models/default").json()
    assert about["parameters"]["sha256"] == pneumoscope.Predictor().sha256
    assert about["inputs"][0]["datatype"] == "BYTES"
    assert service.ask("GET", "/v2/models/default/ready").status == 200
    assert service.ask("GET", "/v2/models/other").status == 404
    assert service.ask("GET", "/v2/models/other/ready").status == 404


def test_unknown_addresses_and_methods_are_problems(service: Running) -> None:
    for method, path, status in (("GET", "/v1/predictions", 405), ("GET", "/nowhere", 404)):
        found = service.ask(method, path)
        assert (found.status, found.json()["status"]) == (status, status)


def test_every_answer_forbids_what_the_page_does_not_need(service: Running) -> None:
    for path in ("/", "/v2/health/live", "/nowhere"):
        headers = service.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_another_name_for_this_machine_is_refused(service: Running) -> None:
    assert service.ask("GET", "/v2/health/live", headers={"host": "evil.example"}).status == 421
    assert service.ask("GET", "/v2/health/live", headers={"host": "localhost:1"}).status == 200


def test_metrics_count_what_was_answered(service: Running, xray: bytes) -> None:
    line = 'pneumoscope_requests_total{route="/v1/predictions",status="200"}'
    before, waits = service.metric(line), service.metric("pneumoscope_wait_seconds_count")
    service.predict(xray)
    assert service.metric(line) == before + 1
    assert service.metric("pneumoscope_wait_seconds_count") == waits + 1
    assert service.metric("pneumoscope_decode_seconds_sum") > 0
    assert service.metric("pneumoscope_inference_seconds_sum") > 0
    assert service.metric("pneumoscope_workers_ready") == 2
    refused = 'pneumoscope_refusals_total{reason="no_image"}'
    before = service.metric(refused)
    service.predict(b"no image")
    assert service.metric(refused) == before + 1


def test_nothing_of_an_image_is_logged_or_counted(service: Running, tmp_path: Path) -> None:
    canary = "Canary^Jane"
    pixels = np.full((100, 100), 100, np.uint16)
    for content in (made(pixels, PatientName=canary, PatientID=canary), canary.encode()):
        service.ask(
            "POST",
            f"/v1/predictions?model={canary.replace('^', '%5E')}",
            *_form(("file", f"{canary}.dcm", content)),
        )
        service.ask("POST", "/v1/predictions", *_form(("file", f"{canary}.dcm", content)))
        service.ask("GET", f"/{canary.replace('^', '%5E')}")
    time.sleep(0.3)
    told = "".join(service.raw) + service.ask("GET", "/metrics").body.decode()
    assert "Canary" not in told
    assert "Jane" not in told


def test_the_openapi_document_names_every_route(service: Running) -> None:
    found = service.ask("GET", "/openapi.json").json()
    assert found == document(found["info"]["version"], Settings(workers=2))
    for path, operations in found["paths"].items():
        for method in operations:
            answer = service.ask(method.upper(), path.replace("{name}", "default"))
            assert str(answer.status) in operations[method]["responses"], path


def _png(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def _form(*files: tuple[str, str, bytes]) -> tuple[bytes, dict[str, str]]:
    body = b""
    for field, name, content in files:
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        body += b"--edge\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--edge--\r\n", {"content-type": "multipart/form-data; boundary=edge"}
