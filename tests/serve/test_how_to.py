"""The commands of docs/how-to/serve.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.dicom_variants import made
from helpers.service import Running, running
from helpers.tiny_model import write_tiny
from pneumoscope.cli import parser
from pneumoscope.cli.serve import settings_of
from pneumoscope.serve.openapi import document
from pneumoscope.serve.settings import MEGABYTE, Settings

PAGE = (Path(__file__).parents[2] / "docs/how-to/serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, xray: bytes) -> Path:
    (tmp_path / "a.jpeg").write_bytes(xray)
    (tmp_path / "a.dcm").write_bytes(made(np.full((64, 64), 100, np.uint16)))
    return tmp_path


CURL = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", CURL)
def test_the_commands_for_curl_give_a_record(service: Running, folder: Path, command: str) -> None:
    words = shlex.split(command.replace(ADDRESS, service.url))
    done = subprocess.run([*words, "--silent"], cwd=folder, capture_output=True, check=True)
    assert json.loads(done.stdout)["conclusion"]


COMMANDS = [
    line
    for kind in ("sh", "text")
    for block in blocks(kind)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("pneumoscope ")
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token.txt").write_text("secret\n", encoding="utf-8")
    words = shlex.split(command)[1:]
    args = parser(words[0]).parse_args(words)
    if words[0] == "serve":
        assert settings_of(args).models


def test_the_first_command_serves_a_page(xray: bytes) -> None:
    assert "\npneumoscope serve\n" in blocks("sh")[0]
    with running() as service:  # the same, but for a free port
        assert service.ask("GET", "/").body.startswith(b"<!doctype html>")
        assert service.predict(xray).status == 200


def test_the_models_are_chosen_as_it_is_shown(tmp_path: Path, xray: bytes) -> None:
    command = next(line for line in COMMANDS if "first=runs/first" in line)
    (tmp_path / "runs/first").mkdir(parents=True)
    write_tiny(tmp_path / "runs/first/model.onnx")
    with running("--workers", "1", *shlex.split(command)[2:], cwd=tmp_path) as service:
        names = [model["name"] for model in service.ask("GET", "/v1/models").json()["models"]]
        assert names == ["first", "default"]
        sums = [
            service.predict(xray, query).headers["x-model-sha256"]
            for query in ("", "?model=default")
        ]
        assert sums[0] != sums[1]
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("reloaded")


def test_the_client_is_used_as_it_is_shown(service: Running, folder: Path) -> None:
    code = next(block for block in blocks("python") if "record" in block)
    done = subprocess.run(
        [sys.executable, "-c", code.replace(ADDRESS, service.url)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0] in {"NORMAL", "PNEUMONIA", "UNCERTAIN", "NOT_ASSESSABLE"}


def test_every_address_and_status_is_listed() -> None:
    paths = document("1", Settings())["paths"]
    for path in paths:
        assert path.replace("{name}", "NAME") in PAGE, path
    statuses = {
        status
        for operations in paths.values()
        for operation in operations.values()
        for status in operation["responses"]
    }
    assert statuses <= set(re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE))


def test_the_limits_are_those_that_hold() -> None:
    said = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    holds = Settings()
    assert said["queue"] == str(holds.queue)
    assert said["max-mb"] == f"{holds.max_bytes / MEGABYTE:g}"
    for name in ("body-seconds", "image-seconds", "grace-seconds"):
        assert said[name] == f"{getattr(holds, name.replace('-', '_')):g}"
    assert said["per-client"] == "none"
    assert holds.per_client is None
