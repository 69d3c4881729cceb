"""The network of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.models.registry import Classifier, build_model

if TYPE_CHECKING:
    from pneumoscope.training.recipe import Recipe


def network_of(recipe: Recipe, *, pretrained: bool = True, classes: int = 2) -> Classifier:
    """Return the untrained network of a recipe.

    Args:
        recipe: Its name, its options, its input and its weights.
        pretrained: Begin with the recipe's weights; else all are drawn.
        classes: How many logits it gives; one a finding where the recipe names findings.

    Raises:
        OptionError: An unknown model or option.
        WeightsError: The weights cannot be had, or do not fit.
    """
    learning = recipe.learning
    return build_model(
        learning.model,
        recipe.data.input,
        weights=learning.weights if pretrained else "none",
        classes=classes,
        multilabel=recipe.data.findings is not None,
        **learning.model_options,
    )
