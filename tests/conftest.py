"""What the tests share: generated radiographs, and one small trained run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# No test may wait for the network; the library reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# A shell that starts the tests in the background lets them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The shapes in signatures are checked while the tests run. This must come before the imports.
install_import_hook(
    [
        "pneumoscope.models.backbone",
        "pneumoscope.models.grey",
        "pneumoscope.models.registry",
        "pneumoscope.models.seed_cnn",
        "pneumoscope.training.augment",
    ],
    "beartype.beartype",
)

from pneumoscope.data.phantom import write_folder  # noqa: E402
from pneumoscope.training.recipe import recipe_of  # noqa: E402
from pneumoscope.workflow.train import Trained, train_reader  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache and weights out of the tests; commands that they start inherit it."""
    os.environ["PNEUMOSCOPE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["PNEUMOSCOPE_WEIGHTS"] = str(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder train/ and test/ with class folders of small generated radiographs."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    return write_folder(folder, patients=60, seed=3, size_px=(96, 110), workers=1)


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a run of a tiny network, trained for two epochs."""
    recipe = recipe_of("seed", image_size=32, filters=(4, 8), max_epochs=2, val_fraction=0.2)
    result = train_reader(phantoms, tmp_path_factory.mktemp("runs") / "tiny", recipe=recipe)
    assert result is not None
    return result


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real images and weights; tests that want it skip where it is not."""
    place = Path(os.environ.get("PNEUMOSCOPE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data" / "chest_xray").is_dir():
        pytest.skip(f"no real images at {place}; name their place with PNEUMOSCOPE_SHARED")
    return place
