"""The options of ``train``: one per setting of the recipe, with the values of presets."""

from __future__ import annotations

import re

import pytest

from pneumoscope.cli import main, parser
from pneumoscope.cli.flags import in_flags, speak_of, with_flags
from pneumoscope.errors import OptionError
from pneumoscope.training.recipe import ABOUT, PRESETS, settings

Captured = pytest.CaptureFixture[str]


def help_of_train(capsys: Captured) -> str:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_every_setting_has_one_option() -> None:
    asked = vars(parser("train").parse_args(["train", "data", "--out", "run"]))
    for group in settings().values():
        for item in group:
            if item.flag != "":
                assert asked[item.name] is None  # so that only what is given changes a preset


def test_the_help_lists_presets_and_what_they_have(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = help_of_train(capsys)
    assert set(ABOUT) == set(PRESETS)
    for name, about in ABOUT.items():
        assert f"{name} " in text
        assert about in text
    assert "(default: 50; transfer: 10; probe: 1)" in text
    assert "(default: seed; transfer: radiograph; probe: none)" in text
    assert "(default: no; transfer: yes; probe: yes)" in text
    assert re.search(r"--learning-rate X learning rate \(default: 0\.001\)", text)


def test_values_reach_the_recipe_as_their_kind() -> None:
    words = "train data --out run --epochs 7 --filters 4,8 --no-gate --learning-rate 0.1 --probe"
    asked = parser("train").parse_args(words.split())
    assert (asked.max_epochs, asked.filters, asked.gate) == (7, (4, 8), False)
    assert (asked.learning_rate, asked.probe) == (0.1, True)
    for text, value in (("auto", "auto"), ("0.2", 0.2)):
        asked = parser("train").parse_args(f"train data --out run --error-level {text}".split())
        assert asked.error_level == value


def test_the_command_line_names_its_options_for_parameters() -> None:
    speak_of(parser("train").parse_args(["train", "data", "--out", "run"]).parser)
    fault = OptionError("max_epochs", must="more", was=0, hint="Or a smaller `val_fraction`.")
    assert str(fault) == "max_epochs must be more, got 0. Or a smaller `val_fraction`."
    assert in_flags(fault) == "--epochs must be more, got 0. Or a smaller --val-fraction."
    assert in_flags(OptionError("devices or strategy", must="x", was=1)).startswith(
        "--devices or --strategy must"
    )
    assert with_flags("`no_such` and `class_map`") == "`no_such` and --map"
    assert with_flags("`validation=folder`, `train(DATA, out=RUN)`") == (
        "--validation folder, pneumoscope train DATA --out RUN"
    )
    assert with_flags("`class_map=PNEUMONIA=BACTERIA,VIRUS`") == "--map PNEUMONIA=BACTERIA,VIRUS"
    speak_of(parser("models").parse_args(["models"]).parser)
    assert with_flags("`val_fraction`") == "`val_fraction`"  # it has none, so none is blamed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "0"], "error: --epochs must be from 1"),
        (["--optimizer", "adm"], "error: --optimizer must be one of"),
        (["--image-size", "2"], "error: --image-size must be from 8"),
        (["--preset", "sed"], "error: --preset must be a known preset"),
    ],
)
def test_a_wrong_value_is_told_with_its_option(
    options: list[str], says: str, capsys: Captured
) -> None:
    assert main(["train", "nowhere", "--out", "never", *options]) == 1
    assert says in capsys.readouterr().err
