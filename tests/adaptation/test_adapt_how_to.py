"""The commands of the guide run in order."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from helpers.conv_model import chest_like, write_conv
from pneumoscope.adaptation.layers import layers_of
from pneumoscope.adaptation.measure import by_class
from pneumoscope.adaptation.reference import KEY, packed
from pneumoscope.adaptation.site import batches_of
from pneumoscope.cli import main
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.session import read_model
from test_documents import commands, words_of

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "adapt.md"
CLASSES = "NORMAL", "PNEUMONIA"


def images_in(place: Path, count: int, *, seed: int) -> None:
    """Write images in class folders."""
    pixels, label = chest_like(count, ill=0.5, seed=seed)
    for name in CLASSES:
        (place / name).mkdir(parents=True)
    for number, (image, own) in enumerate(zip(pixels, label, strict=True)):
        Image.fromarray(image).save(place / CLASSES[own] / f"{number}.png")


def test_the_commands_of_the_guide_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count, seed in (("radiographs", 120, 1), ("chest_xray/train", 120, 2)):
        images_in(Path(name), count, seed=seed)
    images_in(Path("own_images"), 60, seed=3)
    Path("runs/first").mkdir(parents=True)
    path = write_conv(Path("runs/first/model.onnx"))
    pixels, label = chest_like(200, ill=0.5)
    graph = onnx.load(path)
    found = by_class(graph, layers_of(graph, path), batches_of(pixels, np.eye(2)[label]))
    info = replace(open_bundle(path).info, reference={KEY: packed(found)})
    path.write_bytes(with_info(read_model(path), info))
    lines = commands(GUIDE.read_text(encoding="utf-8"))
    assert len(lines) == 6
    for command in lines:
        if "--resamples" not in command and "evaluate" in command:
            command += " --resamples 100"  # noqa: PLW2901 - quicker
        assert main(words_of(command)) == 0, (command, capsys.readouterr().err)
    assert "of a site's images" in " ".join(capsys.readouterr().out.split())
    shutil.rmtree("runs")
    assert main(["model", "site.onnx", "--verify"]) == 0
