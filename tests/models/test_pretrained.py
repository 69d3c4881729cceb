"""The file that ``--weights`` selects, refusals, and the record."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.made_up import made_up
from helpers.serving import Server, serving
from pneumoscope.errors import OptionError, WeightsError
from pneumoscope.export import export
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models import hub
from pneumoscope.models.backbone import Backbone
from pneumoscope.models.folder import read_manifest, verify_folder
from pneumoscope.models.names import Published, resolve
from pneumoscope.models.pretrained import find_weights, gather
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.models.tensors import read_tensors
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
from pneumoscope.reader.predictor import Predictor

SPEC = InputSpec(64, 64)
NAME = "timm:resnet10t"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of weights of this test alone."""
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "weights"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def into_hub(tmp_path: Path, file: Path, repository: str, *, blob: str | None = None) -> Path:
    """Lay a file into the hub's cache, as its library does."""
    root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    stored = root / "blobs" / (blob or digest(file))
    link = root / "snapshots" / "c0ffee" / "model.safetensors"
    for path in (stored, link, root / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, stored)
    link.symlink_to(stored)
    (root / "refs" / "main").write_text("c0ffee")
    return link


def features(model: Classifier) -> torch.Tensor:
    with torch.inference_mode():
        model.eval()
        assert isinstance(model.network, Backbone)
        return model.network.pooled(model.network.features(torch.full((1, 1, 64, 64), 0.3)))


def test_a_file_and_what_is_recorded_of_it(tmp_path: Path) -> None:
    rgb, path = made_up(tmp_path, "resnet10t")
    model = build_model(NAME, SPEC, weights=str(path))
    record = model.weights
    assert record is not None
    assert record.to_dict() == {
        "source": path.name,
        "sha256": digest(path),
        "tensors": len(rgb.state_dict()) - 2,
        "head": False,
        "licence": "",
        "credit": "",
    }
    assert build_model(NAME, SPEC).weights is None
    assert build_model(NAME, SPEC, weights="none").weights is None
    assert build_model("seed-cnn", SPEC, weights="auto").weights is None


def test_the_sum_of_a_file(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    assert build_model(NAME, SPEC, weights=f"{path}#sha256={digest(path).upper()}").weights
    with pytest.raises(WeightsError, match=rf"{digest(path)} instead of 0{{64}}"):
        build_model(NAME, SPEC, weights=f"{path}#sha256={'0' * 64}")


def test_no_such_file() -> None:
    with pytest.raises(WeightsError, match=r"No such file.*auto, none, a file or an https"):
        build_model(NAME, SPEC, weights="nowhere.safetensors")


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "module."])
def test_checkpoints(tmp_path: Path, wrap: str) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    expected = features(build_model(NAME, SPEC, weights=str(path)))
    tensors: dict[str, Any] = load_file(path)
    if wrap == "module.":
        tensors = {f"module.{name}": values for name, values in tensors.items()}
    content = {"epoch": 3, "state_dict": tensors} if wrap == "state_dict" else tensors
    torch.save(content, tmp_path / "weights.pth")
    found = features(build_model(NAME, SPEC, weights=str(tmp_path / "weights.pth")))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_misfits_are_listed(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    tensors = load_file(path)
    del tensors["layer1.0.conv1.weight"]
    tensors["layer9.weight"] = torch.zeros(3)
    tensors["layer2.0.bn1.bias"] = torch.zeros(7)
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        build_model(NAME, SPEC, weights=str(path))
    text = str(caught.value)
    assert "1 missing: layer1.0.conv1.weight" in text
    assert "1 unexpected: layer9.weight" in text
    assert "1 of another shape: layer2.0.bn1.bias [7] instead of [128]" in text


def test_the_weights_of_another_network(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "mobilenetv3_small_050")
    with pytest.raises(WeightsError, match=r"does not fit the network; \d+ missing: .*, …; \d+ un"):
        build_model(NAME, SPEC, weights=str(path))


def test_a_head_of_two_classes_is_kept(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=2)
    save_file(network.state_dict(), tmp_path / "two.safetensors")
    model = build_model(NAME, SPEC, weights=str(tmp_path / "two.safetensors"))
    assert model.weights is not None
    assert model.weights.head
    assert model.network.state_dict()["net.fc.weight"].equal(network.state_dict()["fc.weight"])


def test_weights_for_one_channel_are_taken_as_they_are(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=2, in_chans=1).eval()
    save_file(network.state_dict(), tmp_path / "grey.safetensors")
    model = build_model(NAME, SPEC, weights=str(tmp_path / "grey.safetensors")).eval()
    pixels = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.network(pixels), network(pixels))


def test_positions_are_resampled_to_another_input(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "vit_tiny_patch16_224")
    model = build_model("timm:vit_tiny_patch16_224", InputSpec(96, 64), weights=str(path))
    assert model.weights is not None
    assert isinstance(model.network, Backbone)
    assert model.network.net.pos_embed.shape == (1, 1 + 6 * 4, 192)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\x08\0\0\0\0\0\0\0{nothing", b"PK\3\4 no"])
def test_files_that_are_no_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth: (can be read neither|contains)"):
        build_model(NAME, SPEC, weights=str(tmp_path / "w.pth"))


def test_any_damage_ends_in_a_message(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(9), "b": torch.ones(3)}}, tmp_path / "w.pth")
    save_file({"a": torch.zeros(9), "b": torch.ones(3)}, tmp_path / "w.safetensors")
    random = np.random.default_rng(0)
    for name in ("w.pth", "w.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for place in random.integers(0, len(damaged), 4):
                damaged[place] = random.integers(256)
            (tmp_path / "damaged").write_bytes(damaged)
            with contextlib.suppress(WeightsError):
                assert read_tensors(tmp_path / "damaged")


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "trap": Trap()}, "w.pth")
    (tmp_path / "p.pth").write_bytes(pickle.dumps(Trap()))
    for name in ("w.pth", "p.pth"):
        with pytest.raises(WeightsError, match=r"could execute code\. If you trust the file"):
            build_model(NAME, SPEC, weights=name)
    assert not (tmp_path / "trapped").exists()


def test_seed_cnn_takes_its_own_weights(tmp_path: Path) -> None:
    first = build_model("seed-cnn", SPEC, filters=[4])
    tensors = {f"classifier.{name}": values for name, values in first.state_dict().items()}
    tensors = {name: values for name, values in tensors.items() if "network" in name}
    torch.save({"state_dict": tensors}, tmp_path / "best.ckpt")
    again = build_model("seed-cnn", SPEC, filters=[4], weights=str(tmp_path / "best.ckpt"))
    for name, values in again.state_dict().items():
        assert values.equal(first.state_dict()[name]), name
    with pytest.raises(WeightsError, match="does not fit the network"):
        build_model("seed-cnn", SPEC, filters=[5], weights=str(tmp_path / "best.ckpt"))


def test_checkpoints_of_a_run_do_not_say_how_their_network_was_built(tmp_path: Path) -> None:
    model = build_model(NAME, SPEC)
    tensors = {f"classifier.{name}": values for name, values in model.state_dict().items()}
    torch.save({"state_dict": tensors}, tmp_path / "best.ckpt")
    with pytest.raises(WeightsError, match="`resume`"):
        build_model(NAME, SPEC, weights=str(tmp_path / "best.ckpt"))


def test_auto_takes_the_folder_first(tmp_path: Path, folder: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    full = resolve(NAME).name
    assert full == "timm:resnet10t.c3_in1k"
    folder.mkdir()
    shutil.copy(path, folder / "resnet10t.c3_in1k.safetensors")
    found = find_weights(NAME)
    assert found is not None
    assert found.path == folder / "resnet10t.c3_in1k.safetensors"
    assert found.facts is not None
    assert found.facts.licence == "apache-2.0"
    assert find_weights(full) == found


def test_auto_takes_the_hubs_cache_next(tmp_path: Path, folder: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    into_hub(tmp_path, path, "timm/resnet10t.c3_in1k")
    record = build_model(NAME, SPEC, weights="auto").weights
    assert record is not None
    assert record.source == (
        "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"
    )
    assert record.sha256 == digest(path)
    assert record.licence == "apache-2.0"
    assert not folder.exists()


def test_a_damaged_cache_is_refused(tmp_path: Path) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    into_hub(tmp_path, path, "timm/resnet10t.c3_in1k", blob="a" * 64)
    with pytest.raises(WeightsError, match=r"damaged: its SHA-256 is .* downloaded again"):
        build_model(NAME, SPEC, weights="auto")


def test_without_a_network_one_message_says_what_to_fetch(folder: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        build_model(NAME, SPEC, weights="auto")
    text = str(caught.value)
    assert "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/model.safetensors" in text
    assert "`weights=FILE`" in text
    assert f"{folder} as resnet10t.c3_in1k.safetensors" in text
    assert "`weights=none`" in text
    assert "\n" not in text


def test_a_hub_that_cannot_be_reached_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(WeightsError, match=r"no connection to 127\.0\.0\.1: .*`weights=FILE`"):
        build_model(NAME, SPEC, weights="auto")


def test_nobody_has_published_any() -> None:
    with pytest.raises(WeightsError, match=r"timm has no pretrained weights.*`weights=FILE`"):
        build_model("timm:mobilenetv2_075", SPEC, weights="auto")


def test_an_address(tmp_path: Path, folder: Path, server: Server) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    server.content = path.read_bytes()
    server.breaks = [len(server.content) // 2]
    record = build_model(NAME, SPEC, weights=server.url).weights
    assert record is not None
    assert (record.source, record.sha256) == (server.url, digest(path))
    assert server.asked == ["", f"bytes={len(server.content) // 2}-"]
    assert (folder / "some.safetensors").read_bytes() == server.content
    assert [row.source for row in read_manifest(folder)] == [server.url]
    # Once fetched, it is not fetched again; but it is checked again.
    assert build_model(NAME, SPEC, weights=f"{server.url}#sha256={digest(path)}").weights == record
    assert len(server.asked) == 2
    (folder / "some.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"instead of .*; download it again"):
        build_model(NAME, SPEC, weights=server.url)


def test_an_address_does_not_replace_another_file(folder: Path, server: Server) -> None:
    folder.mkdir()
    (folder / "some.safetensors").write_bytes(b"mine")
    with pytest.raises(WeightsError, match="exists already and is not from"):
        find_weights(NAME, server.url)
    assert (folder / "some.safetensors").read_bytes() == b"mine"


def test_gather_prepares_a_folder_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = made_up(tmp_path, "resnet10t")
    into_hub(tmp_path, path, "timm/resnet10t.c3_in1k")
    (entry,) = gather([NAME], tmp_path / "usb")
    assert entry.name == "timm:resnet10t.c3_in1k"
    assert entry.licence == "apache-2.0"
    assert verify_folder(tmp_path / "usb")[0].state == "ok"
    shutil.rmtree(tmp_path / "hub")
    monkeypatch.setenv("PNEUMOSCOPE_WEIGHTS", str(tmp_path / "usb"))
    record = build_model(NAME, SPEC, weights="auto").weights
    assert record is not None
    assert record.source == entry.source
    assert record.licence == "apache-2.0"
    # A damaged copy is refused, not silently replaced.
    (tmp_path / "usb" / entry.file).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="instead of"):
        build_model(NAME, SPEC, weights="auto")
    with pytest.raises(OptionError, match="a model with pretrained weights"):
        gather(["seed-cnn"], tmp_path / "usb")


def test_a_file_that_the_hub_has_under_its_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RemoteEntryNotFoundError  # noqa: PLC0415

    asked = []

    def download(repository: str, file: str, **_: Any) -> str:
        asked.append((repository, file))
        if file.endswith(".safetensors"):
            raise RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError)
        return f"/cache/{file}"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr(hub, "_check_reachable", lambda: None)
    published = Published("timm/x", ("model.safetensors", "pytorch_model.bin"))
    assert hub.fetch(published) == Path("/cache/pytorch_model.bin")
    assert [file for _, file in asked] == ["model.safetensors", "pytorch_model.bin"]


def _module(name: str) -> type[nn.Sequential]:
    """Return a class that torch.save writes as one of torchxrayvision's."""
    kind = type(name, (nn.Sequential,), {"__module__": "torchxrayvision.models"})
    setattr(sys.modules["torchxrayvision.models"], name, kind)
    return kind


def test_a_network_of_torchxrayvision_that_was_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchxrayvision", types.ModuleType("torchxrayvision"))
    monkeypatch.setitem(
        sys.modules, "torchxrayvision.models", types.ModuleType("torchxrayvision.models")
    )
    kinds = {name: _module(name) for name in ("DenseNet", "_DenseBlock", "_DenseLayer")}
    torch.manual_seed(0)
    source: Any = timm.create_model("densenet121", in_chans=1, num_classes=18).eval()
    whole = kinds["DenseNet"]()
    for name, values in source.state_dict().items():
        place: nn.Module = whole
        *above, last = name.split(".")
        for part in above:
            if part not in dict(place.named_children()):
                place.add_module(part, kinds["_DenseBlock"]())
            place = place.get_submodule(part)
        is_buffer = "running" in last or "num_batches" in last
        if is_buffer:
            place.register_buffer(last, values)
        else:
            place.register_parameter(last, nn.Parameter(values))
    torch.save(whole, tmp_path / "nih-best.pt")
    monkeypatch.delitem(sys.modules, "torchxrayvision")
    monkeypatch.delitem(sys.modules, "torchxrayvision.models")
    model = build_model(
        "xrv:densenet121-res224-nih", SPEC, weights=str(tmp_path / "nih-best.pt")
    ).eval()
    grey = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = source.forward_features((2 * grey - 1) * 1024)
        assert isinstance(model.network, Backbone)
        found = model.network.features((grey - model.mean) / model.std)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", ["035", "100"])
def test_the_shared_weights(shared: Path, tmp_path: Path, width: str, folder: Path) -> None:
    """A user names the file; padding, epsilon and normalisation come with it."""
    name, path = f"timm:mobilenetv2_{width}", shared / f"weights/mobilenetv2_{width}.imagenet"
    path = path.with_name(f"{path.name}.safetensors")
    spec = InputSpec()
    model = build_model(name, spec, weights=str(path)).eval()
    assert model.weights is not None
    assert model.weights.licence == "Apache-2.0"
    assert (model.mean.item(), model.std.item()) == (0.5, 0.5)
    rgb: Any = timm.create_model(
        f"mobilenetv2_{width}", num_classes=0, pad_type="same", bn_eps=1e-3
    ).eval()
    rgb.load_state_dict(load_file(path))
    grey = torch.rand(2, 1, 224, 224)
    assert isinstance(model.network, Backbone)
    with torch.inference_mode():
        expected = rgb((2 * grey - 1).expand(-1, 3, -1, -1))
        found = model.network.pooled(model.network.features((grey - model.mean) / model.std))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # With fixed height and width the padding is fixed in the graph, whatever the batch.
    info = ModelInfo(name, spec, ("NORMAL", "PNEUMONIA"), OperatingPoint(), {})
    pixels = np.random.default_rng(0).integers(0, 256, (5, 224, 224), dtype=np.uint8)
    assert export(model, tmp_path / "m.onnx", info=info, check=pixels) < 1e-4
    assert Predictor(tmp_path / "m.onnx").run(pixels)[1].shape == (5, 2)
    # From the folder it comes by itself.
    folder.mkdir()
    shutil.copy(path, folder)
    again = build_model(name, spec, weights="auto").weights
    assert again is not None
    assert again.sha256 == model.weights.sha256


def test_a_known_file_is_for_its_own_network(shared: Path, tmp_path: Path) -> None:
    path = shared / "weights" / "mobilenetv2_035.imagenet.safetensors"
    with pytest.raises(WeightsError, match="weights of timm:mobilenetv2_035, not of timm:resnet10"):
        build_model(NAME, SPEC, weights=str(path))
    damaged = tmp_path / path.name
    damaged.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(WeightsError, match="the name of a known file but different content"):
        build_model("timm:mobilenetv2_035", SPEC, weights=str(damaged))
