"""Measure what a memory captures and keeps: tasks, methods, measures, reports."""

from mhm_langgraph.evaluation.records import Sample, Trajectory, Update

__all__ = ["Sample", "Trajectory", "Update"]
