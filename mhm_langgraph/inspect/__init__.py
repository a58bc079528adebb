"""See a memory: the life of a thread from its checkpoints, and a page to step through it.

`mhm_langgraph.inspect.view` shows it in a terminal; it needs the extra `cli`, this package does not.
"""

from mhm_langgraph.inspect.branch import memory_namespaces
from mhm_langgraph.inspect.changes import Change, compare
from mhm_langgraph.inspect.model import Run, Timeline, Update
from mhm_langgraph.inspect.page import memory_page
from mhm_langgraph.inspect.phrases import Sighting, find_phrase
from mhm_langgraph.inspect.timeline import memory_timeline

__all__ = [
    "Change",
    "Run",
    "Sighting",
    "Timeline",
    "Update",
    "compare",
    "find_phrase",
    "memory_namespaces",
    "memory_page",
    "memory_timeline",
]
