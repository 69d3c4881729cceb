"""Plans: strict, checked before any run; and the included plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.errors import DataError, OptionError
from pneumoscope.study.plan import Plan, factors, plan_of, read_plan
from pneumoscope.training.recipe import recipe_of

TINY = """
base: seed
changes: {image_size: 32, filters: [4, 8], max_epochs: 2}
seeds: 2
questions:
  dropout: {factor: dropout, values: [0.4, 0.0]}
"""


def labels(plan: Plan, name: str) -> list[str]:
    (question,) = (each for each in plan.questions if each.name == name)
    return [level.label for level in question.levels]


def test_the_base_is_the_first_level_and_is_run_once() -> None:
    plan = plan_of(TINY + "  rate: {factor: learning_rate, values: [0.01]}\n")
    assert labels(plan, "dropout") == ["0.4", "0"]
    assert labels(plan, "rate") == ["base", "0.01"]
    runs = plan.runs()
    assert [run.name for run in runs] == [
        "base, seed 0", "dropout 0, seed 0", "learning_rate 0.01, seed 0",
        "base, seed 1", "dropout 0, seed 1", "learning_rate 0.01, seed 1",
    ]  # fmt: skip
    assert runs[0].answers == (("dropout", "0.4"), ("rate", "base"))
    assert [run.recipe.seed for run in runs] == [0, 0, 0, 1, 1, 1]
    assert runs[1].recipe.value("dropout") == 0.0


def test_a_grid_crosses_its_axes() -> None:
    plan = plan_of(TINY + "  both: {grid: {dropout: [0.4, 0.0], optimizer: [adam, adamax]}}\n")
    assert labels(plan, "both") == [
        "dropout 0.4, optimizer adam", "dropout 0.4, optimizer adamax",
        "dropout 0, optimizer adam", "dropout 0, optimizer adamax",
    ]  # fmt: skip


def test_parts_of_the_augmentation_and_presets_are_factors() -> None:
    plan = plan_of(
        TINY + "  light: {factor: augmentation.brightness, values: [0.2]}\n"
        "  net: {levels: {other: {preset: transfer, model: 'timm:mobilenetv2_035'}}}\n"
    )
    light, net = (plan.questions[k].levels[1] for k in (1, 2))
    before = recipe_of("seed").learning.augmentation
    after = plan.recipe(light.changes, 0).learning.augmentation
    assert (after.brightness, after.rotation_degrees) == (0.2, before.rotation_degrees)
    recipe = plan.recipe(net.changes, 0)
    assert recipe.preset == "transfer"
    assert recipe.value("image_size") == 32
    assert "filters" not in recipe.learning.model_options  # another network has none


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("basis: seed", "Did you mean 'base'"),
        ("base: sede", "Did you mean 'seed'"),
        ("changes: {imagesize: 3}", "Did you mean 'image_size'"),
        ("questions: {a: {factor: droput, values: [1]}}", "Did you mean 'dropout'"),
        ("questions: {a: {factor: augmentation.zom, values: [1]}}", "augmentation.zoom"),
        ("questions: {a: {faktor: dropout, values: [1]}}", "Did you mean 'factor'"),
        ("questions: {a: {factor: dropout}}", "one of: a factor with its values"),
        ("questions: {a: {factor: dropout, values: []}}", "at least one value"),
        ("questions: {a: {factor: dropout, values: [0.2, 0.2]}}", "given different levels"),
        ("questions: {a: {factor: learning_rate, values: [-1]}}", "learning_rate must be from"),
        ("questions: {a: {factor: optimizer, values: [adm]}}", "Did you mean 'adam'"),
        ("questions: {a: {factor: columns, values: [1]}}", "do not change the images"),
        ("questions: {a: {levels: {b: {max_epoch: 3}}}}", "Did you mean 'max_epochs'"),
        ("seeds: 0", "seeds must be"),
        ("seeds: [1, 1]", "seeds must be"),
        ("split: {heldout: 0.2}", "Did you mean 'held_out'"),
        ("split: {held_out: 0.9}", "held_out must be from"),
        ("split: {validation: grupped}", "Did you mean 'grouped'"),
        ("models: 3", "models must be true or false"),
        ("search: {droput: {low: 0, high: 1}}", "Did you mean 'dropout'"),
        ("search: {dropout: {low: 0.5, high: 0.1}}", "low below high"),
        ("search: {dropout: {low: 0.0, high: 0.5, log: true}}", "above 0"),
        ("search: {dropout: {lo: 0.0, high: 0.5}}", "Did you mean 'low'"),
        ("search: {learning_rate: {low: 0.1, high: 100}}", "learning_rate must be from"),
        ("search: {optimizer: [adam, adm]}", "Did you mean 'adam'"),
    ],
)
def test_wrong_words_get_the_nearest_known_one(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        plan_of(text)


def test_what_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a readable plan"):
        plan_of("a: {b")
    with pytest.raises(DataError, match="not a plan; expected keys"):
        plan_of("- a")
    with pytest.raises(DataError, match="Did you mean 'report'"):
        read_plan("reprot")
    base = tmp_path / "mine.yaml"
    recipe_of("seed", batch_size=7).save(base)
    (tmp_path / "plan.yaml").write_text("base: mine.yaml\n")
    assert read_plan(tmp_path / "plan.yaml").base.learning.batch_size == 7


def test_the_reports_plan_asks_what_the_report_tried() -> None:
    plan = read_plan("report")
    assert len(plan.seeds) >= 3
    asked = {question.name: question for question in plan.questions}

    def values(name: str, field: str) -> set[object]:
        levels = asked[name].levels
        return {plan.recipe(level.changes, 0).value(field) for level in levels}

    assert values("learning rate", "learning_rate") == {1e-3, 1e-5}
    assert values("optimiser", "optimizer") == {"adam", "adamax", "adagrad"}
    assert values("patience", "patience") == {3, 5, 10}
    assert values("batch normalisation", "batch_norm") == {False, True}
    assert values("pooling", "pooling") == {"max", "average", "stride"}
    assert {0.0, 0.2, 0.4, 0.5} == values("dropout", "dropout")
    depths = [plan.recipe(level.changes, 0).value("filters") for level in asked["depth"].levels]
    assert {len(filters) for filters in depths} == {1, 2, 3, 4}
    assert {"folder", "auto"} == values("validation", "validation")
    tried = {
        name
        for question in ("augmentation", "brightness")
        for level in asked[question].levels
        for name in ("rotation_degrees", "zoom", "shift", "flip", "brightness")
        if getattr(plan.recipe(level.changes, 0).learning.augmentation, name)
    }
    assert tried == {"rotation_degrees", "zoom", "shift", "flip", "brightness"}
    assert "transfer learning" in asked
    base = plan.recipe({}, 0)
    for question in plan.questions:  # the first level is the base, the others are not
        recipes = [plan.recipe(level.changes, 0) for level in question.levels]
        assert recipes[0] == base, question.name
        assert base not in recipes[1:], question.name


def test_every_field_but_those_of_the_images_is_a_factor() -> None:
    names = factors()
    assert {"learning_rate", "image_size", "filters", "augmentation.zoom", "validation"} <= {*names}
    assert not {"columns", "class_map", "input"} & {*names}
