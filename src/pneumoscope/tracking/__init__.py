"""Report trainings to a tracking server or to event files."""

from pneumoscope.tracking.choose import TRACKERS as TRACKERS
from pneumoscope.tracking.choose import make_tracker as make_tracker
from pneumoscope.tracking.tracker import Tracker as Tracker

__all__ = ["TRACKERS", "Tracker", "make_tracker"]
