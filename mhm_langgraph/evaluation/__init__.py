"""Measure what a memory captures and keeps: tasks, methods, measures, reports."""

from mhm_langgraph.evaluation.comparison import Comparison, compare
from mhm_langgraph.evaluation.matching import (
    exact_match,
    f1,
    final_answer,
    is_verdict,
    normalise,
    says,
    says_words,
)
from mhm_langgraph.evaluation.measures import (
    Score,
    capture_step,
    captured,
    correct,
    held,
    loss_step,
    retained,
    score,
)
from mhm_langgraph.evaluation.records import Sample, Trajectory, Update
from mhm_langgraph.evaluation.summary import Estimate, Summary, summarise
from mhm_langgraph.evaluation.survival import Survival, survival_curve
from mhm_langgraph.evaluation.tasks import TASKS, SampleSet, Task, format_length, open_task, parse_length

__all__ = [
    "TASKS",
    "Comparison",
    "Estimate",
    "Sample",
    "SampleSet",
    "Score",
    "Summary",
    "Survival",
    "Task",
    "Trajectory",
    "Update",
    "capture_step",
    "captured",
    "compare",
    "correct",
    "exact_match",
    "f1",
    "final_answer",
    "format_length",
    "held",
    "is_verdict",
    "loss_step",
    "normalise",
    "open_task",
    "parse_length",
    "retained",
    "says",
    "says_words",
    "score",
    "summarise",
    "survival_curve",
]
