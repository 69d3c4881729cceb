"""Plans of studies: questions and the runs that answer them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.data.split import VALIDATIONS, Block
from pneumoscope.errors import DataError, OptionError, did_you_mean, in_range, nearest, one_of
from pneumoscope.study.changes import AUGMENTATION, changed
from pneumoscope.study.space import Space
from pneumoscope.training.augmentation import Augmentation
from pneumoscope.training.recipe import (
    OF_MODEL,
    PRESETS,
    Recipe,
    change_recipe,
    known_fields,
    recipe_of,
    settings,
)

BASE = "base"
"""The name of the level without changes."""
MOST_SEEDS = 100

_PLANS = resources.files(__package__) / "plans"
_OTHER_IMAGES = frozenset(
    {
        "positive", "patient_regex", "class_map", "uncertain_labels", "columns", "layout",
        "test_fraction", "findings", "unlabelled",
    }
)  # fmt: skip
"""Fields that affect the images: runs that differ in them cannot be compared on the same images."""


@dataclass(frozen=True, slots=True)
class Division:
    """The division of the images of a study, which is the same for all runs.

    Attributes:
        validation: Source of the rows that choose the epoch, as in ``split_catalog``.
        val_fraction: Their share of the training set.
        block: The block, if ``validation`` is ``block``.
        held_out: Share of the training set that is used neither for training nor for choices, but
            to answer the questions.
        patients: Share of the training set's patients that participates.
        seed: Seed of the draw.
    """

    validation: str = "grouped"
    val_fraction: float = 0.1
    block: str = "low"
    held_out: float = 0.2
    patients: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("validation", self.validation, [n for n in VALIDATIONS if n != "file"])
        in_range("val_fraction", self.val_fraction, low=0.01, high=0.5)
        in_range("held_out", self.held_out, low=0.01, high=0.5)
        in_range("patients", self.patients, low=0.01, high=1)
        in_range("seed", self.seed, low=0, high=2**31 - 1)
        Block.parse(self.block)


@dataclass(frozen=True, slots=True)
class Level:
    """One of the settings that a question compares.

    Attributes:
        label: Name of the level.
        changes: Fields of the recipe and their values; none for the base.
    """

    label: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A question: does a factor matter?

    Attributes:
        name: A short name.
        ask: The question in words.
        levels: The levels, of which the first is the base that the others are compared with.
    """

    name: str
    ask: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned run: title, recipe and the questions it answers."""

    name: str
    recipe: Recipe
    answers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a study.

    Attributes:
        about: Description of the study.
        base: The base recipe, which the others modify.
        given: The preset or file of the base.
        changes: Changes of the base to the preset or file.
        seeds: The seeds; there is a run for each level and seed.
        division: Division of the images.
        questions: The questions.
        space: The space of a search.
        models: Whether each run writes a model file.
        source: The plan as read.
    """

    base: Recipe
    given: Recipe
    changes: Mapping[str, Any]
    seeds: tuple[int, ...]
    division: Division
    questions: tuple[Question, ...]
    space: Space
    about: str = ""
    models: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, changes: Mapping[str, Any], seed: int) -> Recipe:
        """Return the recipe of a level and a seed.

        Raises:
            OptionError: An unknown field, or an invalid value.
        """
        plain = dict(changes)
        base = self.base
        if "preset" in plain:
            other = recipe_of(plain.pop("preset"))
            same = other.learning.model == base.learning.model
            kept = {k: v for k, v in self.changes.items() if same or k not in OF_MODEL}
            base = changed(other, kept)
        return change_recipe(changed(base, plain), seed=seed)

    def runs(self) -> tuple[Planned, ...]:
        """Return the runs, each recipe once, ordered by seed."""
        found: dict[str, Planned] = {}
        for seed in self.seeds:
            for question in self.questions:
                for level in question.levels:
                    recipe = self.recipe(level.changes, seed)
                    key = repr(sorted(recipe.to_dict().items()))
                    name = f"{_name(level)}, seed {seed}"
                    before = found.get(key)
                    answers = (before.answers if before else ()) + ((question.name, level.label),)
                    found[key] = Planned(before.name if before else name, recipe, answers)
        return tuple(found.values())


def _name(level: Level) -> str:
    if not level.changes:
        return BASE
    return ", ".join(f"{key} {word(value)}" for key, value in level.changes.items())


def word(value: object) -> str:
    """Return a value as text.

    >>> word((32, 64)), word(0.001), word({"zoom": 0.1})
    ('32-64', '0.001', 'zoom 0.1')
    """
    match value:
        case Mapping():
            return " ".join(f"{key} {word(each)}" for key, each in value.items())
        case list() | tuple():
            return "-".join(map(word, value))
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def factors() -> list[str]:
    """Return the names of the factors that a question may vary."""
    names = {item.name for group in settings().values() for item in group} | set(known_fields())
    names -= {*_OTHER_IMAGES, "input", "model_options", "seed"}
    names |= {f"{AUGMENTATION}{part.name}" for part in dataclasses.fields(Augmentation)}
    return sorted(names)


def shipped_plans() -> list[str]:
    """Return the names of the included plans."""
    return sorted(
        place.name.removesuffix(".yaml")
        for place in _PLANS.iterdir()
        if place.name.endswith(".yaml")
    )


def read_plan(name: str | Path) -> Plan:
    """Return an included plan by name, or read one from a YAML file.

    The whole plan is checked before any run: for an unknown word, the message suggests the closest
    one, and every recipe is created.

    Raises:
        DataError: The plan does not exist, or is not YAML.
        OptionError: An unknown key or field, or an invalid value.
    """
    known = shipped_plans()
    place = _PLANS / f"{name}.yaml" if str(name) in known else Path(name)
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError as fault:
        hint = nearest(str(name), known)
        raise DataError(f"{name}: no such file or plan. {hint}") from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{name}: not a readable plan ({fault}).") from fault
    return plan_of(text, where=str(name))


def plan_of(text: str, *, where: str = "plan") -> Plan:
    """Parse the YAML text of a plan; see ``read_plan``."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise DataError(f"{where}: not a readable plan ({fault}).") from fault
    if not isinstance(values, dict):
        raise DataError(f"{where}: not a plan; expected keys such as base, seeds and questions.")
    keys = ("about", "base", "changes", "seeds", "split", "questions", "search", "models")
    _known("plan", values, keys)
    changes = _mapping("changes", values.get("changes"))
    _check_fields("changes", changes, [*factors(), *_OTHER_IMAGES])
    given = _base(values.get("base", "seed"), Path(where).parent)
    plan = Plan(
        base=changed(given, changes),
        given=given,
        changes=changes,
        seeds=_seeds(values.get("seeds", 3)),
        division=_division(_mapping("split", values.get("split"))),
        questions=(),
        space=Space.of(_mapping("search", values.get("search")), factors()),
        about=str(values.get("about", "")),
        models=_truth("models", values.get("models", False)),
        source=values,
    )
    entries = _mapping("questions", values.get("questions"))
    questions = tuple(_question(str(name), item, plan) for name, item in entries.items())
    plan = dataclasses.replace(plan, questions=questions)
    plan.runs()  # every recipe is created, so that errors are found now
    plan.space.check(plan.base)
    return plan


def _base(name: object, folder: Path) -> Recipe:
    if not isinstance(name, str):
        raise OptionError("base", must="a preset or a recipe file", was=name)
    if name in PRESETS:
        return recipe_of(name)
    if (folder / name).is_file():
        return Recipe.load(folder / name)
    raise OptionError(
        "base", must="a preset or a recipe file", was=name, hint=nearest(name, PRESETS)
    )


def _seeds(value: object) -> tuple[int, ...]:
    given = list(range(value)) if type(value) is int and 0 < value <= MOST_SEEDS else value
    if isinstance(given, list) and 0 < len(given) <= MOST_SEEDS:
        whole = [seed for seed in given if type(seed) is int and 0 <= seed < 2**31]
        if len(set(whole)) == len(given):
            return tuple(whole)
    raise OptionError("seeds", must=f"a number up to {MOST_SEEDS}, or a list of seeds", was=value)


def _division(values: Mapping[str, Any]) -> Division:
    _known("split", values, [part.name for part in dataclasses.fields(Division)])
    return Division(**values)


def _question(name: str, item: object, plan: Plan) -> Question:
    where = f"question {name!r}"
    values = _mapping(where, item)
    _known(where, values, ("ask", "factor", "values", "levels", "grid"))
    ways = [key for key in ("factor", "levels", "grid") if key in values]
    if len(ways) != 1 or ("values" in values) != (ways == ["factor"]):
        must = "one of: a factor with its values, levels, or a grid"
        raise OptionError(where, must=must, was=sorted(values))
    if ways == ["factor"]:
        given = values["values"]
        if not isinstance(given, Mapping | list) or not given:
            raise OptionError(where, must="given at least one value", was=given)
        pairs = given.items() if isinstance(given, Mapping) else ((word(v), v) for v in given)
        levels = [Level(str(label), {values["factor"]: value}) for label, value in pairs]
    elif ways == ["levels"]:
        levels = [
            Level(str(label), _mapping(f"level {label!r} of {where}", changes))
            for label, changes in _mapping(where, values["levels"]).items()
        ]
    else:
        levels = _grid(where, _mapping(where, values["grid"]))
    for level in levels:
        _check_fields(where, level.changes, factors())
    if not levels or len({level.label.lower() for level in levels}) < len(levels):
        raise OptionError(where, must="given different levels", was=name)
    ask = str(values.get("ask") or f"{name[:1].upper()}{name[1:]}?")
    return Question(name, ask, _with_base(levels, plan))


def _grid(where: str, axes: Mapping[str, Any]) -> list[Level]:
    for key, value in axes.items():
        if not isinstance(value, list) or not value:
            raise OptionError(f"{key} of {where}", must="given at least one value", was=value)
    return [
        Level(
            ", ".join(f"{key} {word(v)}" for key, v in zip(axes, chosen, strict=True)),
            dict(zip(axes, chosen, strict=True)),
        )
        for chosen in itertools.product(*axes.values())
    ]


def _with_base(levels: Sequence[Level], plan: Plan) -> tuple[Level, ...]:
    """Move the level equal to the base recipe to the front, or add one."""
    own = plan.recipe({}, plan.seeds[0])
    same = [level for level in levels if plan.recipe(level.changes, plan.seeds[0]) == own]
    first = Level(same[0].label, {}) if same else Level(BASE, {})
    return (first, *(level for level in levels if level not in same))


def _check_fields(where: str, changes: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in changes:
        if key in _OTHER_IMAGES and key not in known:
            raise OptionError(
                where,
                must="limited to fields that do not change the images",
                was=key,
                hint="Set it for the whole study, under changes.",
            )
        if key not in known:
            hint = did_you_mean(str(key), known) or "Its names are those of the recipe file."
            raise OptionError(where, must="given known fields", was=key, hint=hint)


def _mapping(where: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionError(where, must="keys with values", was=value)
    return value


def _truth(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise OptionError(where, must="true or false", was=value)
    return value


def _known(where: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in values:
        if key not in known:
            raise OptionError(where, must="known keys", was=key, hint=nearest(str(key), known))
