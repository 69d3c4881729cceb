"""Reading an X-ray needs no training framework: proved in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pneumoscope.workflow.train import Trained

HEAVY = (
    "torch",
    "lightning",
    "matplotlib",
    "onnx",
    "jinja2",
    "torchmetrics",
    "pydicom",
    "imagecodecs",
    "pandas",
)
_REPORT = "import sys; print(*[m for m in {heavy!r} if m in sys.modules])"


def heavy_after(code: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", code + "\n" + _REPORT.format(heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def run_command(*args: str) -> str:
    return (
        "import sys, contextlib\n"
        f"sys.argv = {['pneumoscope', *args]!r}\n"
        "from pneumoscope.cli import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
    )


@pytest.mark.parametrize(
    "code", ["import pneumoscope", run_command("--help"), run_command("train", "--help")]
)
def test_importing_and_helping_load_nothing_heavy(code: str) -> None:
    assert heavy_after(code) == set()


@pytest.mark.parametrize(
    ("verb", "often"),
    [("train", False), ("predict", False), ("serve", True), ("node", True), ("pull", True)],
)
def test_only_verbs_that_receive_images_collect_garbage_as_often_as_usual(
    verb: str, often: bool
) -> None:
    code = (
        "import gc, sys\n"
        "import pneumoscope.cli as line\n"
        f"sys.argv, usual = ['pneumoscope', {verb!r}], gc.get_threshold()[0]\n"
        "line.main = lambda **_: print(usual, gc.get_threshold()[0]) or 0\n"
        "line.command()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    usual, threshold = map(int, done.stdout.split())
    assert (threshold == usual) if often else (threshold > 20 * usual)


ROOMS = ("pneumoscope.export", "pneumoscope.report.run_report", "pneumoscope.training.probe")


@pytest.fixture(scope="module")
def heavy_after_rooms() -> dict[str, set[str]]:
    """Return what is loaded after each of them, one after the other in one process.

    They load torch, which takes seconds.
    """
    code = "\n".join(f"import {room}\n{_REPORT.format(heavy=HEAVY)}" for room in ROOMS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = map(set, map(str.split, done.stdout.splitlines()))
    return dict(zip(ROOMS, found, strict=True))


@pytest.mark.parametrize("room", ROOMS)
def test_what_trains_no_network_does_without_lightning(
    room: str, heavy_after_rooms: dict[str, set[str]]
) -> None:
    assert not heavy_after_rooms[room] & {"lightning", "torchmetrics"}


def test_exif_in_a_jpeg_does_not_load_the_tiff_decoder(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpeg"
    Image.new("L", (64, 48)).save(path, exif=exif)
    data = path.read_bytes()
    start = data.index(b"\xff\xe0")  # JFIF states a resolution; without it Pillow looks in EXIF
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    path.write_bytes(data[:start] + data[start + 2 + length :])
    code = (
        "import sys\nfrom pneumoscope.images.prepare import InputSpec, prepare\n"
        f"prepare({str(path)!r}, InputSpec())\n"
        "assert 'PIL.JpegImagePlugin' in sys.modules\n"
        "assert 'PIL.TiffImagePlugin' not in sys.modules"
    )
    assert heavy_after(code) == set()


def test_reading_loads_nothing_heavy(trained: Trained, phantoms: Path, tmp_path: Path) -> None:
    image = min(phantoms.rglob("*.jpeg"))
    predict = run_command("predict", str(image), "--model", str(trained.run.root))
    assert heavy_after(predict) == set()
    table = tmp_path / "results.parquet"
    assert heavy_after(run_command("predict", str(image), "--out", str(table))) == set()
    assert table.is_file()
    evaluate = run_command("evaluate", str(trained.run.root), str(phantoms))
    assert heavy_after(evaluate) == set()
    assert heavy_after(run_command("download", "--verify", str(phantoms))) == set()
    compare = run_command("compare", str(trained.run.root), str(trained.run.scores("test")))
    assert heavy_after(compare) == set()


def test_the_test_can_fail(heavy_after_rooms: dict[str, set[str]]) -> None:
    assert heavy_after("import pneumoscope; pneumoscope.recipe_of") == set()
    assert "matplotlib" in heavy_after("import matplotlib")
    assert "torch" in heavy_after_rooms["pneumoscope.export"]


def test_importing_the_package_does_not_even_load_numpy() -> None:
    code = "import sys, pneumoscope; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_client_of_the_service_needs_the_standard_library_alone() -> None:
    code = "import sys, pneumoscope.client; print({'numpy', 'PIL', 'onnxruntime'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_predict_starts_no_threads_of_openblas_and_takes_nothing_apart(
    trained: Trained, phantoms: Path
) -> None:
    image = min(phantoms.rglob("*.jpeg"))
    words = ["pneumoscope", "predict", str(image), "--model", str(trained.run.root)]
    code = (
        "import os, sys\n"
        "from pneumoscope.cli import command\n"
        "def end(code, leave=os._exit):\n"
        "    print('left at once', code, os.environ['OPENBLAS_NUM_THREADS'], flush=True)\n"
        "    leave(code)\n"
        "os._exit = end\n"
        f"sys.argv = {words!r}\n"
        "command()\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "left at once 0 1"
