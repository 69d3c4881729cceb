"""Recalibrate a model of several findings on a site's own scores, finding by finding."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pneumoscope.errors import DataError, LeakError
from pneumoscope.evaluation.calibration import Calibration, fit_calibration
from pneumoscope.evaluation.conformal import AUTO, fit_zone
from pneumoscope.evaluation.multilabel.scores import FindingScores
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.policy import summary
from pneumoscope.evaluation.scores import Scores, check_may_decide
from pneumoscope.reader.findings import FindingRule, policy_of
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.watch import Watcher
from pneumoscope.workflow.decide_findings import FindingsCalibration
from pneumoscope.workflow.origin import check_origin
from pneumoscope.workflow.recalibrate import write_calibrated

_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class FindingsRecalibrated:
    """The fitted values, and the path of the new model.

    Attributes:
        model: The new file.
        rules: Finding → new decision rule.
        kept: Finding → why its decision was not changed.
    """

    model: Path
    rules: dict[str, FindingRule]
    kept: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "model": str(self.model),
            "findings": {name: rule.to_dict() for name, rule in self.rules.items()},
            "kept": dict(self.kept),
        }


def recalibrate_findings(
    model: Path,
    scores_file: Path,
    out: Path,
    *,
    method: str = "temperature",
    rule: str | None = None,
    level: float | Literal["auto"] = AUTO,
    part: str | None = None,
    watcher: Watcher | None = None,
) -> FindingsRecalibrated:
    """Write a model file with calibration, operating point and zone of each finding fitted again.

    A finding with too few labels of a kind is not changed, with a warning.

    Args:
        model: A run folder or a model file of several findings; it is not changed.
        scores_file: Scores of images with labels of findings by the model (``pneumoscope evaluate
            MODEL DATA --scores FILE``).
        out: The new model file.
        method: ``temperature`` or ``platt``.
        rule: Rule of the operating points; that of each finding if None.
        level: The error level of the uncertain zones; ``auto`` as in ``fit_zone``.
        part: Only use the rows of this part, if the file has a column ``split``.
        watcher: Receives progress reports.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: The scores do not belong to this model, or cannot be used.
        OptionError: The method, rule or level is invalid.
        OutputError: The file cannot be written.
    """
    watcher = watcher or Watcher()
    bundle = open_bundle(model)
    info = bundle.info
    scores = FindingScores.load(scores_file, part=part)
    _check(model, bundle, scores, scores_file, watcher)
    rules, kept = {}, {}
    for place, name in enumerate(info.classes):
        before = info.findings[place]
        own = scores.of(name)
        try:
            check_may_decide(own, what="a recalibration")
            rules[name] = _fitted(
                own, before, method=method, rule=rule, level=level, model=bundle.sha256
            )
        except LeakError:
            raise
        except DataError as fault:
            rules[name], kept[name] = before, str(fault)
            watcher.warn(f"the decision for {name} is unchanged: {fault}")
    if len(kept) == len(rules):
        raise DataError(
            f"{scores_file}: no decision could be fitted for any finding; "
            f"{next(iter(kept.values()))}"
        )
    change = {
        "what": f"calibration by {method}, operating points, uncertain zones",
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_model": bundle.sha256,
        "scores_sha256": hashlib.sha256(scores_file.read_bytes()).hexdigest(),
        "images": len(scores),
        "patients": len(set(scores.patient)),
        "findings": [name for name in rules if name not in kept],
    }
    new = replace(info, findings=tuple(rules.values()), history=(*info.history, change))
    line = FindingsCalibration(tuple(_calibration(rule_of) for rule_of in rules.values()))
    write_calibrated(bundle, out, info=new, calibration=line)
    return FindingsRecalibrated(out, rules, kept)


def _fitted(
    scores: Scores,
    before: FindingRule,
    *,
    method: str,
    rule: str | None,
    level: float | Literal["auto"],
    model: str,
) -> FindingRule:
    """Return the decision rule of a finding fitted on scores with the network's logits."""
    calibration = fit_calibration(scores, method=method)
    now = replace(scores, probability=calibration.apply(scores.logit))
    point = choose(parse_rule(rule or before.operating_point.rule), now, model=model)
    zone = fit_zone(now, threshold=point.threshold, level=level)
    found = FindingRule(point, zone.conformal, calibration.to_dict())
    reference = {**(before.reference or {}), "policy": summary(policy_of(found), now)}
    return replace(found, reference=reference)


def _calibration(rule: FindingRule) -> Calibration:
    return Calibration(**rule.calibration) if rule.calibration else Calibration()


def _check(
    model: Path, bundle: Bundle, scores: FindingScores, path: Path, watcher: Watcher
) -> None:
    """Reject scores that are not of the model's findings; see also ``check_origin``.

    Raises:
        DataError: The scores are of another model, or lack a finding.
        LeakError: The scores are of the test images of the run.
    """
    info = bundle.info
    missing = [name for name in info.classes if name not in scores.names]
    if missing:
        raise DataError(
            f"{path}: contains no scores of {', '.join(missing)}, which the model reads."
        )
    check_origin(model, bundle, scores, path, watcher=watcher)
    for name, rule in zip(info.classes, info.findings, strict=True):
        place = scores.names.index(name)
        wanted = _calibration(rule).apply(scores.logits[:, place])
        if np.abs(wanted - scores.probabilities[:, place]).max(initial=0) > _TOLERANCE:
            raise DataError(
                f"{path}: the probabilities of {name} do not match this model's calibration of "
                "its logits; write its scores with: `evaluate(MODEL, DATA, scores=FILE)`"
            )
