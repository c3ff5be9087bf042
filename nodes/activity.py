"""Counts and times of what the nodes have done in this process, for the status route."""

from ..service import Activity

_activity = Activity()
count, timed, summary = _activity.count, _activity.timed, _activity.summary
