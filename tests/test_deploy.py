"""The files in deploy/: their commands and addresses are valid."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pneumoscope.cli import parser
from pneumoscope.cli.serve import settings_of
from pneumoscope.serve.openapi import document
from pneumoscope.serve.settings import Settings, is_loopback

DEPLOY = Path(__file__).parents[1] / "deploy"
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


TOKEN = "secret"  # noqa: S105 - of no service


def settings(words: list[str], monkeypatch: pytest.MonkeyPatch, *, token: str = TOKEN) -> Settings:
    monkeypatch.setenv("PNEUMOSCOPE_TOKEN", token)
    return settings_of(parser().parse_args(words))


def unit(name: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment]
    found.read(DEPLOY / name, encoding="utf-8")
    return found


def test_the_units_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    service, listening = unit("pneumoscope.service"), unit("pneumoscope.socket")
    words = shlex.split(service["Service"]["ExecStart"])
    assert words[0].endswith("/bin/pneumoscope")
    found = settings(words[1:], monkeypatch, token="")
    assert found.fd == 3  # the first that systemd hands over
    assert listening["Socket"]["ListenStream"].startswith("127.0.0.1:")
    assert service["Unit"]["Requires"] == "pneumoscope.socket"
    end = float(service["Service"]["TimeoutStopSec"])
    assert end > found.grace_seconds + found.image_seconds + found.body_seconds


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not installed")
    for name in ("pneumoscope.service", "pneumoscope.socket"):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        # It asks whether the program is there.
        text = text.replace("/opt/pneumoscope/bin/pneumoscope", sys.executable)
        (tmp_path / name).write_text(text, encoding="utf-8")
    units = [tmp_path / "pneumoscope.service", tmp_path / "pneumoscope.socket"]
    done = subprocess.run([verify, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_containerfile_starts_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line.strip()]
    assert {step[0] for step in steps} <= INSTRUCTIONS
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (DEPLOY.parent / source).exists(), source
    said: dict[str, str] = {step[0]: step[1] for step in steps}  # the last stage's
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    words = [*json.loads(said["ENTRYPOINT"])[1:], *json.loads(said["CMD"])]
    words[words.index("--token-file") + 1] = str(token)
    found = settings(words, monkeypatch, token="")
    assert (found.token, str(found.port)) == (TOKEN, said["EXPOSE"])
    assert not is_loopback(found.host)


def test_the_manifest_probes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    kinds = {found["kind"]: found for found in yaml.safe_load_all(text)}
    pod: dict[str, Any] = kinds["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    found = settings(["serve", *container["args"]], monkeypatch)
    assert found.port == container["ports"][0]["containerPort"]
    assert pod["terminationGracePeriodSeconds"] > found.grace_seconds + found.image_seconds
    paths = document("1", Settings(token=TOKEN))["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert paths[path]["get"]["security"] == []  # none is asked for a token
    assert kinds["NetworkPolicy"]["spec"]["egress"] == []


def test_the_proxy_leaves_limits_and_names_to_the_service(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert "client_max_body_size 0;" in text
    assert f"proxy_pass http://127.0.0.1:{Settings().port};" in text
    assert "proxy_set_header Host" not in text
    assert text.count("{") == text.count("}")
    nginx = shutil.which("nginx")
    if nginx is None:
        return
    text = re.sub(r"listen 443 ssl;|ssl_certificate.*", "", text)
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"events {{}}\nhttp {{\n{text}\n}}\n", encoding="utf-8")
    subprocess.run([nginx, "-t", "-c", whole, "-p", tmp_path], check=True, capture_output=True)
