"""The report of a bench: numbers, tables, plots, and the paper's figures beside them."""

from mhm_langgraph.evaluation.report.numbers import Section, read_sections
from mhm_langgraph.evaluation.report.page import write_report

__all__ = ["Section", "read_sections", "write_report"]
