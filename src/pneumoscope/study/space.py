"""The search space: fields of the recipe with a range or a list of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError, nearest
from pneumoscope.study.changes import changed

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from pneumoscope.training.recipe import Recipe

_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True, slots=True)
class Range:
    """A range from ``low`` to ``high``, inclusive; integers if both are."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """Field → its range or list of values."""

    axes: Mapping[str, Range | tuple[Any, ...]]

    @classmethod
    def of(cls, values: Mapping[str, Any], known: Sequence[str]) -> Space:
        """Return the space described by a plan.

        Raises:
            OptionError: An unknown field or key, or an invalid range.
        """
        axes: dict[str, Range | tuple[Any, ...]] = {}
        for name, given in values.items():
            if name not in known:
                raise OptionError(
                    "search", must="given known fields", was=name, hint=nearest(str(name), known)
                )
            axes[name] = _axis(name, given)
        return cls(axes)

    def check(self, base: Recipe) -> None:
        """Raise an error for ranges or values that the recipe does not accept.

        Raises:
            OptionError: An invalid value.
        """
        for name, axis in self.axes.items():
            ends = (axis.low, axis.high) if isinstance(axis, Range) else axis
            for value in ends:
                changed(base, {name: value})

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Return the values suggested by an Optuna trial: field → value."""
        found: dict[str, Any] = {}
        for name, axis in self.axes.items():
            if not isinstance(axis, Range):
                # Optuna only accepts scalars; lists, such as filters, are identified by their
                # index.
                found[name] = axis[trial.suggest_categorical(name, range(len(axis)))]
            elif isinstance(axis.low, int) and isinstance(axis.high, int):
                step = int(axis.step or 1)
                found[name] = trial.suggest_int(name, axis.low, axis.high, step=step, log=axis.log)
            else:
                found[name] = trial.suggest_float(
                    name, axis.low, axis.high, log=axis.log, step=axis.step
                )
        return found

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe changes of a finished trial."""
        return {
            name: params[name] if isinstance(axis, Range) else axis[params[name]]
            for name, axis in self.axes.items()
            if name in params
        }


def _axis(name: str, given: object) -> Range | tuple[Any, ...]:
    if isinstance(given, list) and len(given) > 1:
        return tuple(given)
    if not isinstance(given, Mapping):
        raise OptionError(
            f"search: {name}", must="several values, or low and high with log or step", was=given
        )
    for key in given:
        if key not in _KEYS:
            hint = nearest(str(key), _KEYS)
            raise OptionError(f"search: {name}", must="given known keys", was=key, hint=hint)
    low, high = given.get("low"), given.get("high")
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
    if not numbers or not low < high:  # type: ignore[operator]
        raise OptionError(f"search: {name}", must="given low below high", was=dict(given))
    log, step = bool(given.get("log", False)), given.get("step")
    if log and (step is not None or low <= 0):  # type: ignore[operator]
        must = "above 0 and without a step if it is logarithmic"
        raise OptionError(f"search: {name}", must=must, was=dict(given))
    return Range(low, high, log, step)  # type: ignore[arg-type]
