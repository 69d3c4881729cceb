"""Every input gives a result or one typed error, with limited time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.hostile import hostile_files, samples
from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import InputSpec, prepare

# Reads each file in one process, as predict does, and tells time, memory and what came out.
_READ = """
import json, pathlib, sys, time
from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import InputSpec, prepare
for path in json.load(sys.stdin):
    start = time.perf_counter()
    try:
        end = str(prepare(path, InputSpec()).shape)
    except ImageError as fault:
        end = type(fault).__name__ + ": " + str(fault)
    # VmHWM begins anew with this process; ru_maxrss would count the memory of its parent too.
    status = pathlib.Path("/proc/self/status").read_text()
    memory = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([path, time.perf_counter() - start, memory, end]), flush=True)
"""
_GENEROUS_SECONDS = 20  # for a busy machine; alone, the slowest takes well below two
_LIMIT_MB = 300


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux shows it")
def test_every_hostile_file_ends_in_a_result_or_a_typed_error(tmp_path: Path) -> None:
    paths = [str(path) for path in hostile_files(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", _READ],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (paths[len(rows) : len(rows) + 1], done.stderr)
    assert [row[0] for row in rows] == paths
    for path, seconds, memory, end in rows:
        assert seconds < _GENEROUS_SECONDS, (path, seconds)
        assert memory < _LIMIT_MB, (path, memory, end)
        assert end == "(224, 224)" or path in end, (path, end)
    assert done.stderr == ""


@pytest.mark.parametrize("name", sorted(samples()))
def test_what_the_hostile_files_are_cut_from_is_healthy(name: str) -> None:
    assert prepare(samples()[name], InputSpec(32, 32)).shape == (32, 32)


@pytest.mark.parametrize("name", sorted(samples()))
@pytest.mark.parametrize("tenth", [1, 3, 5, 7, 9])
def test_a_file_that_was_cut_is_an_error_and_not_half_an_image(name: str, tenth: int) -> None:
    content = samples()[name]
    with pytest.raises(ImageError):
        prepare(content[: len(content) * tenth // 10], InputSpec(32, 32))
