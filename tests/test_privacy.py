"""Nothing leaves the machine, and only requested files are written; tested in fresh processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pneumoscope
from pneumoscope.workflow.train import Trained

SOURCE = Path(pneumoscope.__file__).parents[1]
BENCHMARKS = SOURCE.parent / "benchmarks"
OURS = ".cache/pneumoscope"

_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "OMP_NUM_THREADS")
# Python's own view of the network, for machines without strace.
_HOOK = """
import os, sys
def _note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        with open(os.environ["SOCKETS"], "a") as file:
            file.write(f"{event} {arguments[1:]}\\n")
sys.addaudithook(_note)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def fresh(home: Path, *command: str, variables: dict[str, str] | None = None) -> list[str]:
    """Run a command as a user who never ran anything, without CI; return what it connected to."""
    hook = home.parent / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(_HOOK)
    sockets, trace = home.parent / "sockets", home.parent / "trace"
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(hook), str(SOURCE)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOCKETS": str(sockets),
        "TMPDIR": str(home.parent),
        **(variables or {}),
    }
    strace = shutil.which("strace")
    tracing = [
        strace,
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-e",
        "trace=connect,sendto,sendmmsg",
        "-o",
        str(trace),
    ]
    words = [*tracing, sys.executable, *command] if strace else [sys.executable, *command]
    done = subprocess.run(
        [word for word in words if word],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = sockets.read_text().splitlines() if sockets.exists() else []
    if strace:
        seen += [line for line in trace.read_text().splitlines() if re.search("AF_INET6?", line)]
    return seen


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}


def foreign(home: Path) -> set[str]:
    """Return the files and folders that are neither in our cache nor on the way to it."""
    way = {"/".join(OURS.split("/")[:depth]) for depth in (1, 2)}
    found = {str(path.relative_to(home)) for path in home.rglob("*")}
    return {name for name in found - way if not name.startswith(f"{OURS}/")}


def _verbs(trained: Trained, phantoms: Path, out: Path) -> dict[str, list[list[str]]]:
    """Return commands of the verbs; those that load torch share a process, which takes seconds."""
    run, data = str(trained.run.root), str(phantoms)
    train = ["train", data, "--out", str(out / "run"), "--image-size", "32", "--epochs", "1"]
    return {
        "predict": [["predict", str(phantoms / "test"), "--out", str(out / "a.csv")]],
        "evaluate": [["evaluate", run, data, "--report", str(out / "report")]],
        "inspect": [["inspect", data, "--out", str(out / "inspect")]],
        "train and export": [train, ["export", run, "--out", str(out / "b.onnx")]],
    }


@pytest.mark.parametrize("name", ["predict", "evaluate", "inspect", "train and export"])
def test_a_verb_connects_to_nothing_and_writes_into_no_other_folder(
    name: str, home: Path, trained: Trained, phantoms: Path
) -> None:
    commands = _verbs(trained, phantoms, home.parent)[name]
    if len(commands) == 1:
        assert fresh(home, "-m", "pneumoscope", *commands[0]) == []
    else:
        code = "import gc, sys; gc.set_threshold(50_000); from pneumoscope.cli import main"
        code += f"; sys.exit(max(main(words) for words in {commands!r}))"
        assert fresh(home, "-c", code) == []
    assert foreign(home) == set()


def test_python_is_as_silent_as_the_command_line(home: Path, phantoms: Path) -> None:
    image = str(min(phantoms.rglob("*.jpeg")))
    code = f"import pneumoscope; print(pneumoscope.load().predict({image!r}).conclusion)"
    assert fresh(home, "-c", code) == []
    assert foreign(home) == set()


def test_the_benchmarks_silence_onnx_runtime_without_the_package(home: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import harness, onnxruntime\nassert 'pneumoscope' not in sys.modules"
    )
    if not BENCHMARKS.is_dir():
        pytest.skip("an installed package has no benchmarks beside it")
    assert fresh(home, "-c", code) == []
    assert files(home) == set()


def test_a_folder_that_the_user_chose_for_matplotlib_is_used(home: Path) -> None:
    code = "import pneumoscope.report; import matplotlib; print(matplotlib.get_cachedir())"
    chosen = home.parent / "chosen"
    fresh(home, "-c", code, variables={"MPLCONFIGDIR": str(chosen)})
    assert foreign(home) == set()
    assert chosen.is_dir()


def test_no_setting_of_the_user_switches_it_on(home: Path, phantoms: Path) -> None:
    image = str(min(phantoms.rglob("*.jpeg")))
    variables = {"ORT_DISABLE_TELEMETRY": "0"}
    assert fresh(home, "-m", "pneumoscope", "predict", image, variables=variables) == []
    assert foreign(home) == set()


def test_these_tests_can_fail(home: Path) -> None:
    assert any("127.0.0.1" in line for line in fresh(home, "-c", _CONNECTING))
    fresh(home, "-c", "import matplotlib.font_manager")
    assert any("matplotlib" in name for name in foreign(home))


def test_onnx_runtime_alone_is_not_silent(home: Path) -> None:
    fresh(home, "-c", "import onnxruntime; print(onnxruntime.__version__)")
    if not foreign(home):
        pytest.skip("this build of ONNX Runtime carries no telemetry, so nothing is shown here")
    assert any("onnxruntime" in name for name in foreign(home))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: Python's half only")
def test_what_compiled_code_connects_to_is_seen(home: Path) -> None:
    code = (
        "import ctypes, socket, struct\n"
        "libc = ctypes.CDLL(None)\n"
        "address = struct.pack('=HH4s8x', socket.AF_INET, socket.htons(9), bytes([127, 0, 0, 1]))\n"
        "libc.connect(libc.socket(2, 1, 0), address, 16)\n"
    )
    assert any("connect(" in line for line in fresh(home, "-c", code))


_CONNECTING = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", 9), timeout=1)
"""
