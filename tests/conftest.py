"""Shared fixtures: generated radiographs, and one small trained run."""

from __future__ import annotations

import ctypes
import gc
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jaxtyping import install_import_hook

# No test may wait for the network; the library reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# With several processes, each has one core: more threads would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# If a shell starts the tests in the background, they and their child processes ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The shapes in signatures are checked while the tests run; this must come before the imports.
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

from helpers.drawing import drawing  # noqa: E402
from helpers.exporter import FOLDER, read_operators_once, trace_once  # noqa: E402
from helpers.forks import FORK, PROGRAMS, Forks  # noqa: E402
from helpers.once import made_once, shared_folder  # noqa: E402
from helpers.schedule import (  # noqa: E402
    COSTLY,
    LEFT_OUT,
    ByFile,
    longest_first,
    starts_processes,
)
from pneumoscope.data.phantom import write_folder  # noqa: E402
from pneumoscope.parallel import cores  # noqa: E402
from pneumoscope.training.recipe import recipe_of  # noqa: E402
from pneumoscope.workflow.train import Trained, train_reader  # noqa: E402

HERE = Path(__file__).parent

# Processes compete for the cores, so the duration of an example is meaningless.
hypothesis.settings.register_profile("pneumoscope", deadline=None)
hypothesis.settings.load_profile("pneumoscope")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes ``-n auto`` starts: one more than there are cores.

    Tests of services mostly wait, those of ``hospital`` for a third of their time. A fast run omits
    them.
    """
    return cores() + (0 if config.option.fast else 1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Return the scheduler of the tests."""
    return ByFile(config, log)


def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Make the processes of the tests forks of one that has collected them."""
    if sys.platform != "linux":
        return
    forks = Forks(collect=_collected(config), load=not config.option.fast)
    config.add_cleanup(forks.end)
    os.environ[PROGRAMS] = forks.programs
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = shlex.join([sys.executable, FORK, forks.workers])


def _collected(config: pytest.Config) -> list[str]:
    """Return the arguments of pytest that collect the same tests."""
    fast = ["--fast"] if config.option.fast else []
    return [*fast, "--rootdir", str(config.rootpath), *config.args]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of ``make test-fast``."""
    parser.addoption(
        "--fast", action="store_true", help="leave out what loads torch, starts services or is slow"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the files that a fast run omits."""
    place = collection_path.relative_to(HERE) if collection_path.is_relative_to(HERE) else None
    return (config.option.fast and place is not None and place.as_posix() in LEFT_OUT) or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the longest files if several processes share the work.

    Tests that start services or other processes are repeated once if they fail, since a delay of
    the machine can make them miss a time limit. The summary lists them under RERUN.
    """
    for item in items:
        if starts_processes(item.path.relative_to(HERE).as_posix()):
            item.add_marker(pytest.mark.flaky(reruns=1))
    if config.option.fast:
        costly = [item for item in items if COSTLY & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=costly)
        items[:] = [item for item in items if item not in costly]
    if "PYTEST_XDIST_WORKER" in os.environ:
        longest_first(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Give untrained networks the same weights in each run."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection.

    With torch and pydicom loaded, each full collection takes half a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use separate folders for cache and weights, also in commands that tests start."""
    os.environ["PNEUMOSCOPE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["PNEUMOSCOPE_WEIGHTS"] = str(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session", autouse=True)
def _quick_exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Save seconds per export; see ``helpers.exporter``."""
    graphs = shared_folder(tmp_path_factory) / "graphs"
    graphs.mkdir(exist_ok=True)
    os.environ[FOLDER] = str(graphs)
    if "torch" in sys.modules:
        read_operators_once()
        trace_once()


@pytest.fixture(scope="module", autouse=True)
def _memory_goes_back() -> Iterator[None]:
    """Return freed memory to the system, since training makes the allocator keep it."""
    yield
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@pytest.fixture(scope="session", autouse=True)
def _undrawn() -> Iterator[None]:
    """Omit drawings from pages, unless a test requests them."""
    with drawing(False):
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """Include drawings in the pages that a test writes."""
    with drawing():
        yield


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder train/ and test/ with class folders of small generated radiographs."""

    def make(folder: Path) -> Path:
        return write_folder(folder / "data", patients=60, seed=3, size_px=(96, 110), workers=1)

    return made_once("phantoms", tmp_path_factory, make)


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a run of a tiny network, trained for two epochs."""

    def make(folder: Path) -> Trained:
        recipe = recipe_of("seed", image_size=32, filters=(4, 8), max_epochs=2, val_fraction=0.2)
        with drawing():
            result = train_reader(phantoms, folder / "tiny", recipe=recipe)
        assert result is not None
        return result

    return made_once("runs", tmp_path_factory, make)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real images and weights; tests that need it are skipped without it."""
    place = Path(os.environ.get("PNEUMOSCOPE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data" / "chest_xray").is_dir():
        pytest.skip(f"no real images at {place}; name their place with PNEUMOSCOPE_SHARED")
    return place
