from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from pneumoscope.images.quiet import quietly


def test_threads_are_inside_at_the_same_time_and_the_filters_come_back() -> None:
    before = list(warnings.filters)
    meeting = threading.Barrier(2, timeout=20)

    def work(_: int) -> None:
        with quietly():
            meeting.wait()  # broken, if the other one waits outside
            warnings.warn("of a parser", stacklevel=1)
            meeting.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="of somebody else"):
        warnings.warn("of somebody else", stacklevel=1)


def test_who_leaves_first_does_not_end_the_silence_of_the_other() -> None:
    inside, left = threading.Event(), threading.Event()

    def short() -> None:
        with quietly():
            inside.set()
        left.set()

    with quietly():
        other = threading.Thread(target=short)
        other.start()
        assert inside.wait(20)
        assert left.wait(20)
        other.join()
        warnings.warn("of a parser", stacklevel=1)  # the tests make errors of warnings


def test_an_exception_and_entering_twice_restore_the_filters() -> None:
    before = list(warnings.filters)

    def parse() -> None:
        with quietly():
            with quietly():
                pass
            warnings.warn("still quiet", stacklevel=1)
            raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        parse()
    assert list(warnings.filters) == before


def test_a_warning_is_shown_outside_after_it_was_silenced_inside() -> None:
    code = """
import warnings
from pneumoscope.images.quiet import quietly

def parse():
    warnings.warn("of a parser")

with quietly():
    parse()
parse()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("UserWarning: of a parser") == 1
