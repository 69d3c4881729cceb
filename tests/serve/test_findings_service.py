"""A reader of several findings behind the service and on its page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.findings import FINDINGS, write_findings
from helpers.service import Running, running
from pneumoscope.client import Client
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.reader.drift import FEW
from pneumoscope.reader.evidence import finding_drawn
from pneumoscope.reader.predictor import Predictor


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_findings(tmp_path_factory.mktemp("findings") / "m.onnx")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Running]:
    with running("--workers", "1", "--model", str(model)) as service:
        yield service


def test_the_record_has_each_finding(served: Running, model: Path, xray: bytes) -> None:
    client = Client(served.url)
    record = client.predict(xray)
    said = Predictor(model, gated=False).predict(xray)
    assert record["conclusion"] == said.conclusion
    assert record["probability"] is None
    assert tuple(record["findings"]) == FINDINGS
    for one in said.findings:
        found = record["findings"][one.name]
        assert found["conclusion"] == one.conclusion
        assert found["probability"] == pytest.approx(one.probability)
        assert found["threshold"] == one.threshold


def test_evidence_of_any_finding(served: Running, model: Path, xray: bytes) -> None:
    client = Client(served.url)
    drawn = [
        client.evidence(client.predict(xray, evidence=True, evidence_of=name)) for name in FINDINGS
    ]
    assert len(set(drawn)) == len(FINDINGS)
    chosen = finding_drawn(Predictor(model, gated=False).predict(xray).findings).name
    own = client.evidence(client.predict(xray, evidence=True))
    assert own == drawn[FINDINGS.index(chosen)]
    for query, said in (
        ("evidence=1&evidence_of=Hernia", "evidence_of must be one of Consolidation"),
        ("evidence_of=Clear", "evidence_of needs evidence=1"),
    ):
        refused = served.ask("POST", f"/v1/predictions?{query}", xray)
        assert refused.status == 400
        assert said in refused.json()["detail"]


def test_models_and_metrics_speak_of_each_finding(served: Running, xray: bytes) -> None:
    client = Client(served.url)
    for _ in range(FEW):
        conclusions = client.predict(xray)["findings"]
    (told,) = served.ask("GET", "/v1/models").json()["models"]
    each = told["parameters"]["findings"]
    assert tuple(each) == FINDINGS
    assert [one["threshold"] for one in each.values()] == pytest.approx([0.3, 0.4, 0.5])
    assert told["parameters"]["threshold"] is None
    metrics = served.ask("GET", "/metrics").body.decode()
    for name in FINDINGS:
        of = f'finding="{name}",model="default"'
        conclusion = conclusions[name]["conclusion"]
        assert f'pneumoscope_finding_conclusions_total{{conclusion="{conclusion}",{of}}}' in metrics
        assert f"pneumoscope_finding_drift_psi{{{of}}}" in metrics
    assert "pneumoscope_drift_psi{" not in metrics


def test_the_page_lists_the_findings(served: Running, xray: bytes, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="the extra 'dev' is not installed")
    from playwright.sync_api import Route, expect  # noqa: PLC0415 - in dev

    from helpers.browser import CHROMIUM, browser, opened, transfer  # noqa: PLC0415 - the same

    if CHROMIUM is None:
        pytest.skip("no Chromium; tools/install_test_services.sh")
    said = dict(
        zip(FINDINGS, (("NEGATIVE", 0.85), ("POSITIVE", 0.8), ("UNCERTAIN", 0.5)), strict=True)
    )
    asked = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        told = route.fetch().json()
        told["conclusion"] = "POSITIVE"
        for name, (conclusion, probability) in said.items():
            told["findings"][name] |= {"conclusion": conclusion, "probability": probability}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    with (
        browser() as chromium,
        opened(chromium, served.url, viewport={"width": 1280, "height": 900}) as page,
    ):
        expect.set_options(timeout=60_000)
        page.route("**/v1/predictions*", answer)
        page.evaluate(
            "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
            transfer(page, {"a.jpeg": xray}),
        )
        expect(page.locator("#conclusion")).to_have_text("POSITIVE: Infiltrate")
        rows = page.locator("#findings-rows tr")
        expect(rows).to_have_count(3)
        assert [row.locator("th").inner_text() for row in rows.all()] == [
            "Infiltrate", "Clear", "Consolidation"
        ]  # fmt: skip
        expect(rows.nth(0)).to_contain_text("0.800 (0.400)")
        expect(page.locator("#scale")).to_be_hidden()
        expect(page.locator("#list .number")).to_have_text("0.800")
        expect(page.locator("#marked")).to_have_attribute("src", re.compile("^blob:"))
        expect(page.get_by_role("button", name="Evidence of Infiltrate")).to_have_attribute(
            "aria-pressed", "true"
        )
        page.get_by_role("button", name="Evidence of Clear").click()
        expect(page.get_by_role("button", name="Evidence of Clear")).to_have_attribute(
            "aria-pressed", "true"
        )
        assert page.locator("#opinions button").count() == 0
        page.get_by_role("button", name="Infiltrate present").click()
        page.get_by_role("button", name="Consolidation absent").click()
        expect(page.locator("#list .opinion")).to_have_text(
            "you: Infiltrate present, Consolidation absent"
        )
        page.screenshot(path=tmp_path / "page.png")
        with page.expect_download() as download:
            page.locator("#export").click()
        download.value.save_as(tmp_path / "opinions.csv")
        page.locator("#about-open").click()
        expect(page.locator("#facts")).to_contain_text("Infiltrate (threshold 0.4000, youden)")
    assert any("evidence_of=Clear" in url for url in asked)
    scores = FindingScores.load(tmp_path / "opinions.csv")
    assert scores.names == FINDINGS
    assert scores.labels.tolist() == [[0, 1, -1]]
    assert scores.probabilities.tolist() == [[0.85, 0.8, 0.5]]
    rows_of_csv = list(csv.DictReader(io.StringIO((tmp_path / "opinions.csv").read_text())))
    assert rows_of_csv[0]["path"] == "a.jpeg"
