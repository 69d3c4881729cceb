"""The report of a run: figures that hold what they show, and one page to hand to a colleague.

Importing this package loads neither matplotlib nor jinja2; drawing and rendering do.
"""

from .figures import AugmentationSheet as AugmentationSheet
from .figures import ClassCounts as ClassCounts
from .figures import ConfusionMatrix as ConfusionMatrix
from .figures import LearningCurves as LearningCurves
from .figures import RocCurve as RocCurve
from .page import Panel as Panel
from .page import Report as Report
from .page import Section as Section
from .page import Statement as Statement
from .page import render as render
from .page import write_report as write_report
from .style import save as save

__all__ = [
    "AugmentationSheet",
    "ClassCounts",
    "ConfusionMatrix",
    "LearningCurves",
    "Panel",
    "Report",
    "RocCurve",
    "Section",
    "Statement",
    "render",
    "save",
    "write_report",
]
