"""The network of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.models.registry import Classifier, build_model

if TYPE_CHECKING:
    from pneumoscope.training.recipe import Recipe


def network_of(recipe: Recipe, *, pretrained: bool = True, classes: int = 2) -> Classifier:
    """Return the untrained network of a recipe.

    Args:
        recipe: Recipe with name, options, input and weights.
        pretrained: Whether to load the recipe's weights; otherwise all weights are random.
        classes: Number of logits; one per finding if the recipe names findings.

    Raises:
        OptionError: An unknown model or option.
        WeightsError: The weights are not available, or do not fit.
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
