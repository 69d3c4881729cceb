"""The trials of a search: recipes suggested by Optuna are trained, evaluated and pruned."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import LeakError, OptionError
from pneumoscope.runs import locked_folder
from pneumoscope.study.entries import Entered, enter_run
from pneumoscope.study.folder import numbers_of
from pneumoscope.study.hunt import NUMBERS, Hunt
from pneumoscope.study.images import HELD_OUT, StudyImages
from pneumoscope.study.plan import Plan, Planned, word
from pneumoscope.study.space import Range
from pneumoscope.training.recipe import Recipe
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    import optuna

    from pneumoscope.data.split import Split
    from pneumoscope.study.folder import StudyFolder
    from pneumoscope.tracking import Tracker
    from pneumoscope.training.log import Epoch


_OUT, _CHANGES, _RUN = "out", "changes", "run"


class Hunter:
    """A worker of a search."""

    def __init__(
        self,
        folder: StudyFolder,
        images: StudyImages,
        plan: Plan,
        hunt: Hunt,
        *,
        trackers: Sequence[Tracker],
        watcher: Watcher,
    ) -> None:
        self._folder, self._images, self._plan, self._hunt = folder, images, plan, hunt
        self._trackers, self._watcher = trackers, watcher
        self._until = math.inf if hunt.seconds is None else time.monotonic() + hunt.seconds
        self._opened: dict[tuple[Path, Any], Any] = {}

    def hunt(self, storage: Any, *, name: str) -> optuna.Study:
        """Run trials until their number or the time limit is reached; return the Optuna study."""
        import optuna  # noqa: PLC0415 - an extra

        optuna.logging.set_verbosity(logging.WARNING)
        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=NUMBERS[self._hunt.number],
            load_if_exists=True,
            pruner=_pruner(self._hunt, self._plan),
        )
        self._take_up(study)
        study.sampler = _sampler(self._hunt, self._plan, self._seed(study))
        done = sum(trial.state in states for trial in study.get_trials(deepcopy=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)  # of dead workers; enqueued again
        waiting = (optuna.trial.TrialState.WAITING,)
        if done < self._hunt.trials or study.get_trials(deepcopy=False, states=waiting):
            study.optimize(
                self.objective,
                timeout=self._hunt.seconds,
                callbacks=[optuna.study.MaxTrialsCallback(self._hunt.trials, states=states)],
                catch=(Exception,),
            )
        return study

    def _seed(self, study: optuna.Study) -> int:
        """Return a sampler seed that differs between workers and restarts."""
        import numpy as np  # noqa: PLC0415 - next to its use

        mine = f"worker {self._folder.root.resolve()}"
        workers = [key for key in study.user_attrs if key.startswith("worker ")]
        if mine not in workers:
            study.set_user_attr(mine, len(workers))
            workers.append(mine)
        state = (self._hunt.seed, workers.index(mine), len(study.get_trials(deepcopy=False)))
        return int(np.random.SeedSequence(state).generate_state(1)[0])

    def _take_up(self, study: optuna.Study) -> None:
        """Enqueue the trials that were interrupted when this folder's process was killed."""
        from optuna.trial import TrialState  # noqa: PLC0415 - an extra

        here = str(self._folder.root.resolve())
        alone = self._hunt.storage is None  # no other process uses this file
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not alone and trial.user_attrs.get(_OUT) != here:
                continue
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
            self._watcher.say(f"Trial {trial.number} was killed and is continued")

    def objective(self, trial: optuna.Trial) -> float:
        """Return the result of a trial on the validation images.

        Raises:
            TrialPruned: The trial was ended early.
        """
        import optuna  # noqa: PLC0415 - an extra

        trial.set_user_attr(_OUT, str(self._folder.root.resolve()))
        changes = self._plan.space.suggest(trial)
        trial.set_user_attr(_CHANGES, json.loads(json.dumps(changes)))
        title = ", ".join(f"{key} {word(value)}" for key, value in changes.items())
        recipe = self._plan.recipe(changes, self._plan.seeds[0])
        item = enter_run(self._folder, self._images, self._plan, Planned(title, recipe, ()))
        trial.set_user_attr(_RUN, item.run.name)
        if item.run.finished:  # by a process that was killed before reporting it, or earlier
            return self._value(trial, item)
        for tracker in self._trackers:
            tracker.begin(item.run.name, Recipe.load(item.run.files.config).to_dict())
        try:
            value = self._value(trial, item)
        except optuna.TrialPruned:
            item.run.fail(
                "others were better at this epoch, or the time limit was reached",
                state="ended early",
            )
            self._ended(item, {}, f"trial {trial.number} ({title}): ended early")
            raise
        except Exception as fault:
            item.run.fail(f"{type(fault).__name__}: {fault}", more=traceback.format_exc(limit=-12))
            self._ended(item, {}, f"trial {trial.number} ({title}): {fault}", failed=True)
            raise
        number = self._hunt.number
        self._ended(
            item, numbers_of(item.run.result()), f"trial {trial.number} ({title}): {number} "
            f"{value:.4f}",
        )  # fmt: skip
        return value

    def _value(self, trial: optuna.Trial, item: Entered) -> float:
        from pneumoscope.study.learn import learn  # noqa: PLC0415 - torch

        run = item.run
        pruning = Pruning(trial, self._hunt.number, self._until, self._epoch_of(item))
        with locked_folder(run.root):
            for row in run.log():  # of an unfinished or finished run
                pruning.report(row)
            if not run.finished:
                run.error_file.unlink(missing_ok=True)
                learn(run, self._data(item), on_epoch=pruning)
        found = run.result().val
        return found[self._hunt.number.removeprefix("val_")]

    def _epoch_of(self, item: Entered) -> Callable[[Epoch], None]:
        def tell(row: Epoch) -> None:
            for tracker in self._trackers:
                tracker.epoch(item.run.name, row)

        return tell

    def _data(self, item: Entered) -> Any:
        """Return the images of a run; those of the last split and input are cached."""
        from pneumoscope.data.cache import build_cache  # noqa: PLC0415 - next to its use
        from pneumoscope.data.prepared import PreparedData  # noqa: PLC0415

        recipe = Recipe.load(item.run.files.config)
        key = (item.split, recipe.data.input)
        if key not in self._opened:
            cache, catalog = build_cache(self._images.catalog, recipe.data.input)
            split = self._images.split(recipe.data)
            check_decides(self._images, split)
            self._opened = {key: PreparedData(catalog, cache, split, self._images.copies)}
        return self._opened[key]

    def _ended(
        self, item: Entered, numbers: Mapping[str, float], reason: str, *, failed: bool = False
    ) -> None:
        self._folder.note("failed" if failed else "finished", item.run.name)
        for tracker in self._trackers:
            tracker.end(item.run.name, numbers, [item.run.held_out], failed=failed)
        (self._watcher.warn if failed else self._watcher.say)(reason)


def check_decides(images: StudyImages, split: Split) -> None:
    """Raise an error if held-out or test images would influence the search.

    Raises:
        LeakError: They would be used for training or for choices.
    """
    for part in ("train", "val"):
        wrong = [row for row in split.rows(part) if images.catalog.entries[row].split == HELD_OUT]
        if wrong:
            raise LeakError(
                f"{images.catalog.root}: {len(wrong):,} held-out or test images are in the "
                f"set {part!r} of a search; they must not be used for decisions."
            )


class Pruning:
    """Reports each epoch of a trial, and stops trials that are worse than others.

    Args:
        trial: The trial.
        number: The column of ``log.csv`` to optimise.
        until: End of the search's time limit, by ``time.monotonic``.
        callback: Also called with each epoch.
    """

    def __init__(
        self, trial: optuna.Trial, number: str, until: float, callback: Callable[[Epoch], None]
    ) -> None:
        self._trial, self._number, self._until, self._callback = trial, number, until, callback

    def report(self, row: Epoch) -> None:
        """Report an epoch to the trial."""
        self._trial.report(getattr(row, self._number), row.epoch)

    def __call__(self, row: Epoch) -> None:
        """Report an epoch, and stop the trial if it is worse than others.

        Raises:
            TrialPruned: The trial is worse than others, or the time limit is reached.
        """
        import optuna  # noqa: PLC0415 - an extra

        self.report(row)
        self._callback(row)
        if time.monotonic() > self._until or self._trial.should_prune():
            raise optuna.TrialPruned


def _sampler(hunt: Hunt, plan: Plan, seed: int) -> optuna.samplers.BaseSampler:
    import optuna  # noqa: PLC0415 - an extra

    if hunt.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if hunt.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    values: dict[str, list[Any]] = {}
    for name, axis in plan.space.axes.items():
        if isinstance(axis, Range):
            raise OptionError(
                "sampler", must="tpe or random if a field has a range", was=f"grid, {name}"
            )
        values[name] = list(range(len(axis)))
    return optuna.samplers.GridSampler(values, seed=hunt.seed)


def _pruner(hunt: Hunt, plan: Plan) -> optuna.pruners.BasePruner:
    import optuna  # noqa: PLC0415 - an extra

    if hunt.pruning == "none":
        return optuna.pruners.NopPruner()
    if hunt.pruning == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    epochs = plan.base.learning.max_epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if hunt.pruning == "halving":
            # The first epoch says little; a fifth of them is the first rung.
            return optuna.pruners.SuccessiveHalvingPruner(max(1, round(epochs / 5)), 3)
        return optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=epochs, reduction_factor=3
        )


def summary_of(study: optuna.Study, plan: Plan, hunt: Hunt, *, seconds: float) -> dict[str, Any]:
    """Return the result of a search as JSON values.

    Args:
        study: The Optuna study.
        plan: The plan.
        hunt: Settings of the search.
        seconds: Duration of this call.
    """
    from optuna.trial import TrialState  # noqa: PLC0415 - an extra

    trials = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
            "changes": plan.space.changes(trial.params),
            "title": ", ".join(
                f"{key} {word(value)}" for key, value in plan.space.changes(trial.params).items()
            ),
            "epochs": len(trial.intermediate_values),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "run": trial.user_attrs.get(_RUN, ""),
            "here": trial.user_attrs.get(_OUT),
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    done = [trial for trial in trials if trial["value"] is not None]
    sign = -1 if NUMBERS[hunt.number] == "maximize" else 1
    best = min(done, key=lambda trial: sign * trial["value"], default=None)
    return {
        "number": hunt.number,
        "direction": NUMBERS[hunt.number],
        "sampler": hunt.sampler,
        "pruning": hunt.pruning,
        "seed": plan.seeds[0],
        "seconds": round(seconds, 1),
        "best": best,
        "importance": _importance(study),
        "axes": {
            name: {"low": axis.low, "high": axis.high, "log": axis.log}
            if isinstance(axis, Range)
            else {"values": [word(value) for value in axis]}
            for name, axis in plan.space.axes.items()
        },
        "trials": trials,
    }


def _importance(study: optuna.Study) -> dict[str, float]:
    """Return the importance of each field; none if too few trials are complete."""
    import optuna  # noqa: PLC0415 - an extra

    with contextlib.suppress(ValueError, RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study)
        return {name: float(share) for name, share in found.items()}
    return {}
