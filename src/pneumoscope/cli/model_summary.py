"""A summary of a model file: intended use, decision and performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pneumoscope.reader.model_file.metadata import NOTICE

if TYPE_CHECKING:
    from pneumoscope.reader.model_file.bundle import Bundle
    from pneumoscope.reader.model_file.metadata import ModelInfo

_WIDTH, _NAMES = 100, 15
_MORE = "--json prints the complete metadata, --verify checks the file."
_KINDS = {"rules": "not a radiograph", "look": "rotated", "features": "unlike the training images"}


def summary_text(bundle: Bundle) -> str:
    """Return a summary of a model file in labelled lines."""
    info = bundle.info
    megabytes = bundle.path.stat().st_size / 1e6
    rows = [
        ("Model", " ".join(filter(None, (info.name, info.version)))),
        ("File", f"{bundle.path} ({megabytes:.2f} MB)"),
        ("SHA-256", bundle.sha256),
        ("Intended use", _intended(info.intended)),
        ("Limits", str(info.card.get("limits", ""))),
        ("Input", f"{info.input.width_px} x {info.input.height_px} grey pixels"),
        *(("Decision", line) for line in _decision(info)),
        ("Performance", _deployed(info)),
        ("Performance", _how_good(info)),
        ("Gate", _gate(info.gate)),
        ("Training data", "; ".join(_training(info))),
        *(("Changed", _change(change)) for change in info.history),
        ("Licence", info.licence or "not stated in the file"),
        ("More", str(info.card.get("more", ""))),
    ]
    lines: list[str] = []
    before = ""
    for name, text in rows:
        if text:
            lines += _wrapped("" if name == before else name, text)
            before = name
    return "\n".join([*lines, "", NOTICE, _MORE])


def _wrapped(name: str, text: str) -> list[str]:
    return wrap(
        text,
        _WIDTH,
        initial_indent=name.ljust(_NAMES),
        subsequent_indent=" " * _NAMES,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _intended(intended: Mapping[str, Any]) -> str:
    """Return the intended use; missing information is shown as unspecified."""
    if not intended:
        return "not stated in the file; assume images like those it was trained on"
    parts = []
    for key, value in intended.items():
        if key == "age_years":
            parts.append(f"patients aged {value[0]:g} to {value[1]:g}")
        else:
            parts.append(f"{key.replace('_', ' ')} {_or(value)}")
    return ", ".join(parts)


def _or(values: object) -> str:
    if isinstance(values, Sequence) and not isinstance(values, str):
        return " or ".join(str(value) for value in values)
    return str(values)


def _decision(info: ModelInfo) -> list[str]:
    if info.findings:
        return _findings(info)
    policy, (negative, positive) = info.policy(), info.pair
    rule = f"if the probability is {policy.threshold:.4g} or higher, otherwise {negative}"
    lines = [f"{positive} {rule} (rule: {policy.operating_point.rule})"]
    if len(info.classes) > 2:
        lines.insert(0, f"{len(info.classes)} classes: {', '.join(info.classes)}")
        if policy.conformal is not None:
            level = policy.conformal.level
            lines.append(f"UNCERTAIN if more than one class is plausible at error level {level:g}")
    if policy.zone is not None:
        low, high = policy.zone
        lines.append(f"UNCERTAIN if the probability is between {low:.3f} and {high:.3f}")
    return lines


def _findings(info: ModelInfo) -> list[str]:
    """Return the decision rule of each of several findings."""
    lines = [
        f"{len(info.findings)} findings, each concluded separately: POSITIVE, NEGATIVE or UNCERTAIN"
    ]
    for name, rule in zip(info.classes, info.findings, strict=True):
        point = rule.operating_point
        text = f"{name} at probability {point.threshold:.4g} or above (rule: {point.rule})"
        zone = info.of_finding(name).policy().zone
        if zone is not None:
            text += f", UNCERTAIN between {zone[0]:.3f} and {zone[1]:.3f}"
        entries = [
            f"{key} {one['value']:.3f}"
            for key in ("sensitivity", "specificity")
            if isinstance(one := point.achieved.get(key), Mapping) and one.get("value") is not None
        ]
        lines.append(f"{text}; validation {', '.join(entries)}" if entries else text)
    return lines


def _deployed(info: ModelInfo) -> str:
    """Return the performance of the decision on the images it was fitted on."""
    kept = info.reference.get("policy")
    if not isinstance(kept, Mapping) or "set_aside" not in kept or "error" not in kept:
        return ""
    words = [
        f"{100 * kept[name]['value']:.1f}% ({100 * kept[name]['low']:.1f} to "
        f"{100 * kept[name]['high']:.1f})"
        for name in ("set_aside", "error")
    ]
    by = "UNCERTAIN or NOT_ASSESSABLE" if "refused" in kept else "UNCERTAIN"
    return f"as deployed: {words[0]} {by}; {words[1]} of the other conclusions wrong"


def _how_good(info: ModelInfo) -> str:
    if info.findings:  # stated next to each threshold
        return ""
    achieved = info.operating_point.achieved
    numbers = [
        f"{name} {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f}, "
        f"{found['n']:,} images)"
        for name in ("sensitivity", "specificity")
        if isinstance(found := achieved.get(name), Mapping) and found.get("value") is not None
    ]
    if not numbers:
        return "not stated in the file; measure it on your images with pneumoscope evaluate"
    part = {"val": "the validation images, which were also used to choose the threshold"}
    where = part.get(str(achieved.get("part")), "the images it was fitted on")
    return f"{', '.join(numbers)} at the decision threshold, on {where}"


def _gate(gate: Mapping[str, Any]) -> str:
    kinds = [text for key, text in _KINDS.items() if key in gate]
    if not kinds:
        return "none; every image gets a conclusion"
    return (
        "NOT_ASSESSABLE if the image is "
        f"{', '.join(kinds[:-1]) + ' or ' * (len(kinds) > 1) + kinds[-1]}"
    )


def _training(info: ModelInfo) -> list[str]:
    """Return data, initial weights and size of the training, if recorded."""
    facts = info.training
    members = facts.get("members") or []
    counts = facts.get("images") or (members[0].get("images") if members else None) or {}
    parts = [str(info.card[name]) for name in ("data", "weights") if name in info.card]
    if counts.get("train"):
        parts.append(f"{counts['train']:,} training images")
    if len(members) > 1:
        parts.append(f"{len(members)} networks averaged")
    recipe = facts.get("recipe")
    if isinstance(recipe, Mapping) and recipe.get("preset"):
        parts.append(f"preset {recipe['preset']}")
    return parts


def _change(change: Mapping[str, Any]) -> str:
    """Return a recalibration in one line; the JSON output has all details."""
    who = f" of {change['patients']:,} patients" if "patients" in change else ""
    images = f", on {change['images']:,} images{who}" if "images" in change else ""
    return f"{str(change.get('written', ''))[:10]} {change.get('what', 'changed')}{images}".strip()
