"""Reports: figures that hold their data, and self-contained pages.

Importing this package loads neither matplotlib nor jinja2; drawing and rendering do.
"""

from pneumoscope.caches import keep_matplotlib_here
from pneumoscope.report.figures.compare import DifferenceForest, SeedDots, SeedLosses
from pneumoscope.report.figures.curves import NetBenefit, PrecisionRecall, ReliabilityDiagram
from pneumoscope.report.figures.groups import RobustnessCurves, SubgroupForest
from pneumoscope.report.figures.outcome import ConfusionMatrix, ScoreDistributions
from pneumoscope.report.figures.pictures import AugmentationSheet, CaseSheet
from pneumoscope.report.figures.roc import RocCurve, RocCurves
from pneumoscope.report.figures.training import ClassCounts, LearningCurves
from pneumoscope.report.page import Panel, Report, Section, Statement, render, write_report
from pneumoscope.report.style import save

keep_matplotlib_here()

__all__ = [
    "AugmentationSheet",
    "CaseSheet",
    "ClassCounts",
    "ConfusionMatrix",
    "DifferenceForest",
    "LearningCurves",
    "NetBenefit",
    "Panel",
    "PrecisionRecall",
    "ReliabilityDiagram",
    "Report",
    "RobustnessCurves",
    "RocCurve",
    "RocCurves",
    "ScoreDistributions",
    "Section",
    "SeedDots",
    "SeedLosses",
    "Statement",
    "SubgroupForest",
    "render",
    "save",
    "write_report",
]
