"""Two workers share a search through PostgreSQL; if one is killed, the other takes its trial."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import postgres
from helpers.phantoms import written_once
from helpers.processes import wait_for
from helpers.warm import Warm
from pneumoscope.errors import DataError
from pneumoscope.study.storage import open_storage

pytest.importorskip("optuna", reason="Optuna is not installed")
psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals differ there")

PLAN = """
base: seed
changes: {image_size: 32, filters: [4], max_epochs: 4}
split: {val_fraction: 0.2, held_out: 0.4}
search: {dropout: {low: 0.0, high: 0.6}}
"""

WORKER = '''
import sys, time, types
from pathlib import Path
from pneumoscope.study.folder import Result
from pneumoscope.study.plan import read_plan
from pneumoscope.study.hunt import Hunt
from pneumoscope.study.search import search
from pneumoscope.training.log import Epoch, write_log

data, out, plan, url, slow = sys.argv[1:]

def learn(run, data, *, on_epoch=None, model=False):
    """Stands for a training of four epochs."""
    rows = []
    for number in range(1, 5):
        time.sleep(float(slow))
        rows.append(Epoch(number, 0.5, 0.7, 0.4, 0.8, 0.9, 0.1, 10.0, 0.001))
        write_log(run.files.log, rows)
        on_epoch(rows[-1])
    numbers = {"auc": 0.9, "accuracy": 0.8, "loss": 0.4}
    found = Result(numbers, numbers, 0.5, 4, 4, 0.1, 1, "cpu", "float32", 1, 9)
    run.write_result(found)
    return found

sys.modules["pneumoscope.study.learn"] = types.SimpleNamespace(learn=learn)
search(Path(data), Path(out), plan=read_plan(plan),
       hunt=Hunt(number="val_auc", trials=6, pruning="none", storage=url, name="shared",
                 confirm=0, heartbeat_seconds=1))
'''
"""A worker of a search whose trainings take so many seconds an epoch and learn nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pg-") as name:  # pytest's own folders are private
        folder = Path(name)
        folder.chmod(0o755)
        with postgres.server(folder) as address:
            wait_for(lambda: _answers(address), seconds=60, what="PostgreSQL")
            yield address


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def trials(address: str) -> list[tuple[int, str]]:
    """Return number and state of each trial, as the database has them."""
    with psycopg.connect(address) as connection:
        there = connection.execute("SELECT to_regclass('trials')").fetchone()
        if there is None or there[0] is None:
            return []
        rows = connection.execute("SELECT number, state::text FROM trials ORDER BY number")
        return [(int(number), str(state)) for number, state in rows]


def test_a_trial_of_a_killed_worker_is_taken_over(
    url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path / "data"
    data = written_once(tmp_path_factory, place, patients=60, seed=3, size_px=(40, 48))
    (tmp_path / "plan.yaml").write_text(PLAN)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def start(name: str, slow: float) -> Warm:
        return Warm(script, data, tmp_path / name, tmp_path / "plan.yaml", url, str(slow))

    slow = start("slow", 60.0)
    wait_for(lambda: trials(url) == [(0, "RUNNING")], seconds=150, what="the first trial")
    quick = start("quick", 0.02)
    wait_for(
        lambda: (1, "COMPLETE") in trials(url), seconds=150, what="a trial of the second worker"
    )
    slow.kill()
    slow.communicate()
    _, said = quick.communicate(timeout=200)
    assert quick.returncode == 0, said
    time.sleep(4)  # by now its silence is long enough
    # It takes up what is left, if the other was killed only after the last trial had begun.
    again = start("quick", 0.02)
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    found = json.loads((tmp_path / "quick" / "search.json").read_text())
    by_state: dict[str, list[dict[str, object]]] = {}
    for trial in found["trials"]:
        by_state.setdefault(trial["state"], []).append(trial)
    (lost,) = by_state["fail"]
    assert lost["number"] == 0
    taken = [trial for trial in by_state["complete"] if trial["changes"] == lost["changes"]]
    assert len(taken) == 1
    assert str(taken[0]["here"]).endswith("quick")
    assert len(by_state["complete"]) >= 6
    both = {str(trial["here"]).rsplit("/", 1)[1] for trial in found["trials"]}
    assert both == {"slow", "quick"}


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    address = "postgresql://me:secret@127.0.0.1:1/none"
    with (
        pytest.raises(DataError, match="no storage can be opened there") as told,
        open_storage(address, default=tmp_path / "x", heartbeat_seconds=5),
    ):
        pass
    assert "secret" not in str(told.value)
