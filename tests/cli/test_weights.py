"""``pneumoscope weights``, as a user runs it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pneumoscope.cli import main

CONTENT = b"\x02\0\0\0\0\0\0\0{}"  # a safetensors file of no tensors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of weights with a file that a user put there."""
    place = tmp_path / "weights"
    place.mkdir()
    (place / "resnet10t.c3_in1k.safetensors").write_bytes(CONTENT)
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(place))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return place


def test_pack_and_verify(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usb = tmp_path / "usb"
    assert main(["weights", "pack", "timm:resnet10t", "--to", str(usb)]) == 0
    out = capsys.readouterr().out
    assert "timm:resnet10t.c3_in1k" in out
    assert hashlib.sha256(CONTENT).hexdigest() in out
    assert "licence: apache-2.0" in out
    assert main(["weights", "verify", str(usb)]) == 0
    assert "1 ok, 0 wrong, 0 unchecked" in capsys.readouterr().out
    (usb / "resnet10t.c3_in1k.safetensors").write_bytes(b"damaged")
    assert main(["weights", "verify", str(usb)]) == 1
    assert "wrong      resnet10t.c3_in1k.safetensors" in capsys.readouterr().out


def test_pull_notes_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify"]) == 0
    assert "0 ok, 0 wrong, 1 unchecked" in capsys.readouterr().out
    assert main(["weights", "pull", "timm:resnet10t.c3_in1k"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert main(["weights", "verify"]) == 0
    assert "1 ok, 0 wrong, 0 unchecked" in capsys.readouterr().out


def test_what_cannot_be_pulled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "timm:resnet18.a1_in1k"]) == 1
    assert "https://huggingface.co/timm/resnet18.a1_in1k" in capsys.readouterr().err
    assert main(["weights", "pull", "seed-cnn"]) == 1
    assert "a model with pretrained weights" in capsys.readouterr().err
    assert main(["weights", "verify", str(folder / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_the_shared_weights(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", str(shared / "weights")]) == 0
    assert "2 ok, 0 wrong, 0 unchecked" in capsys.readouterr().out


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["weights", "verfy"])
    assert end.value.code == 2
    assert "Did you mean 'verify'" in capsys.readouterr().err
