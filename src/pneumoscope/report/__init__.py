"""The report of a run: figures that hold what they show, and one page to hand to a colleague.

Importing this package loads neither matplotlib nor jinja2; drawing and rendering do.
"""

from pneumoscope.caches import keep_matplotlib_here
from pneumoscope.report.figures import AugmentationSheet as AugmentationSheet
from pneumoscope.report.figures import CaseSheet as CaseSheet
from pneumoscope.report.figures import ClassCounts as ClassCounts
from pneumoscope.report.figures import ConfusionMatrix as ConfusionMatrix
from pneumoscope.report.figures import DifferenceForest as DifferenceForest
from pneumoscope.report.figures import LearningCurves as LearningCurves
from pneumoscope.report.figures import NetBenefit as NetBenefit
from pneumoscope.report.figures import PrecisionRecall as PrecisionRecall
from pneumoscope.report.figures import ReliabilityDiagram as ReliabilityDiagram
from pneumoscope.report.figures import RobustnessCurves as RobustnessCurves
from pneumoscope.report.figures import RocCurve as RocCurve
from pneumoscope.report.figures import RocCurves as RocCurves
from pneumoscope.report.figures import ScoreDistributions as ScoreDistributions
from pneumoscope.report.figures import SeedDots as SeedDots
from pneumoscope.report.figures import SeedLosses as SeedLosses
from pneumoscope.report.figures import SubgroupForest as SubgroupForest
from pneumoscope.report.page import Panel as Panel
from pneumoscope.report.page import Report as Report
from pneumoscope.report.page import Section as Section
from pneumoscope.report.page import Statement as Statement
from pneumoscope.report.page import render as render
from pneumoscope.report.page import write_report as write_report
from pneumoscope.report.style import save as save

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
