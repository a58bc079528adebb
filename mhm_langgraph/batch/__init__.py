"""Many documents: the same graph over a list of jobs, on this machine or on Ray."""

from mhm_langgraph.batch.jobs import Job, read_jobs
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.batch.on_ray import Ray
from mhm_langgraph.batch.pools import Local
from mhm_langgraph.batch.recorder import Progress
from mhm_langgraph.batch.results import ResultRow
from mhm_langgraph.batch.run import Engine, arun_batch, run_batch

__all__ = [
    "Engine",
    "Job",
    "Limits",
    "Local",
    "Progress",
    "Ray",
    "ResultRow",
    "arun_batch",
    "read_jobs",
    "run_batch",
]
