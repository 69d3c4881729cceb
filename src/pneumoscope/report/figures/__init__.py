"""Figures of a run: each holds the numbers that it shows, and draws them on request.

Computing and drawing are apart (the manner of scikit-learn's ``RocCurveDisplay``), so that the
numbers can be tested, written beside the figure and drawn again. Every figure has

- a way to compute it from columns (``from_...``),
- ``draw()``, which returns a `matplotlib.figure.Figure` (``pyplot`` keeps state, and is not used),
- ``rows()``, a header and rows of text: the table that goes beside the figure,
- ``summary()``, one sentence for those who cannot see it,
- ``CAPTION``, which says how to read it.
"""

from pneumoscope.report.figures.cases import CaseSheet
from pneumoscope.report.figures.compare import DifferenceForest, SeedDots
from pneumoscope.report.figures.compare_roc import RocCurves
from pneumoscope.report.figures.curves import NetBenefit, PrecisionRecall
from pneumoscope.report.figures.groups import RobustnessCurves, SubgroupForest
from pneumoscope.report.figures.outcome import ConfusionMatrix, RocCurve
from pneumoscope.report.figures.probabilities import ReliabilityDiagram, ScoreDistributions
from pneumoscope.report.figures.seeds import SeedLosses
from pneumoscope.report.figures.training import AugmentationSheet, ClassCounts, LearningCurves

__all__ = [
    "AugmentationSheet",
    "CaseSheet",
    "ClassCounts",
    "ConfusionMatrix",
    "DifferenceForest",
    "LearningCurves",
    "NetBenefit",
    "PrecisionRecall",
    "ReliabilityDiagram",
    "RobustnessCurves",
    "RocCurve",
    "RocCurves",
    "ScoreDistributions",
    "SeedDots",
    "SeedLosses",
    "SubgroupForest",
]
