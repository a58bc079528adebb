"""Methods: ways of answering a question over a context, behind one small interface, at equal total memory."""

from mhm_langgraph.evaluation.methods.base import Method, Trial, trajectory
from mhm_langgraph.evaluation.methods.names import METHODS, resolve_method, resolve_methods

__all__ = ["METHODS", "Method", "Trial", "resolve_method", "resolve_methods", "trajectory"]
