"""Measure what a memory captures and keeps: tasks, methods, measures, reports."""

from mhm_langgraph.evaluation.records import Sample, Trajectory, Update
from mhm_langgraph.evaluation.tasks import TASKS, SampleSet, Task, format_length, open_task, parse_length

__all__ = [
    "TASKS",
    "Sample",
    "SampleSet",
    "Task",
    "Trajectory",
    "Update",
    "format_length",
    "open_task",
    "parse_length",
]
