"""``pneumoscope models``, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pneumoscope.cli import main
from pneumoscope.models.listing import CHOSEN, MOST, Listed, measure, names_like
from pneumoscope.models.names import is_pretrained_name, resolve
from pneumoscope.models.packages import package_of


def test_a_few_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["Model", "Parameters"]
    assert [line.split()[0] for line in lines[1 : 1 + len(CHOSEN)]] == [row.name for row in CHOSEN]
    (own,) = (line for line in lines if line.startswith("seed-cnn"))
    assert own.split()[1:6] == ["3.27", "M", "364.48", "M", "224x224"]
    assert "pneumoscope models --names" in out


def test_they_are_listed_without_loading_what_is_heavy() -> None:
    code = (
        "import sys\nfrom pneumoscope.cli import main\nmain(['models'])\n"
        "print(*[m for m in ('torch', 'timm', 'lightning') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_the_chosen_are_as_they_are_measured(row: Listed) -> None:
    found = measure(row.name)
    assert (found.parameters, found.multiply_adds) == (row.parameters, row.multiply_adds)
    assert (found.input_px, found.licence) == (row.input_px, row.licence)
    if is_pretrained_name(row.name):
        published = resolve(row.name).published
        _, _, rest = row.name.partition(":")
        packaged = package_of([row.name]) is not None  # other weights than timm publishes
        assert (
            packaged or published is None or published.url or published.repository == f"timm/{rest}"
        )


def test_the_chosen_go_from_light_to_heavy() -> None:
    assert list(CHOSEN) == sorted(CHOSEN, key=lambda row: (row.multiply_adds, row.name))


def test_known_numbers() -> None:
    """Published: ResNet-18 has 11.69 M parameters with 1,000 classes, and 1.82 G multiply-adds."""
    row = measure("timm:resnet18.a1_in1k")
    without_head = row.parameters - 2 * 513
    # One channel instead of three in the first layer, of 64 filters of 7x7.
    assert without_head == 11_689_512 - 1000 * 513 - 2 * 64 * 49
    first_layer = 64 * 49 * 112 * 112
    assert row.multiply_adds == pytest.approx(1.814e9 - 2 * first_layer, rel=0.01)


def test_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "*:resnet1?t.*", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} >= {"timm:resnet10t.c3_in1k", "timm:resnet14t.c3_in1k"}
    assert len(rows) < 5
    assert [row["multiply_adds"] for row in rows] == sorted(row["multiply_adds"] for row in rows)
    assert {row["here"] for row in rows if row["licence"]} == {False}


def test_a_filter_without_signs_is_a_part_of_the_name() -> None:
    names = names_like("resnet10")
    assert {"timm:resnet10t.c3_in1k", "timm:resnet101.a1_in1k"} <= set(names)
    assert all("resnet10" in name for name in names)


def test_too_many_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "resnet"]) == 1
    err = capsys.readouterr().err
    assert f"specific enough for at most {MOST} models" in err
    assert "--names" in err


def test_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--names"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) > 1000
    assert {"seed-cnn", "xrv:densenet121-res224-all", "timm:mobilenetv2_035"} <= set(names)
    assert main(["models", "timm:resnet1?.a1_in1k", "--names", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["timm:resnet18.a1_in1k"]


def test_nothing_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "qqqq"]) == 1
    assert "part of a model's name" in capsys.readouterr().err
    assert names_like("qqqq") == []
