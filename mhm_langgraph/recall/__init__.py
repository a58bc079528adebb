"""Recall: overwritten head texts go to an archive, and those that bear on the question are shown again."""

from mhm_langgraph.recall.archive import Entry, archived, keep_entries, lineage
from mhm_langgraph.recall.choice import Recalled, choose
from mhm_langgraph.recall.ranking import Ranking, bm25_scores, by_embeddings, resolve_ranking
from mhm_langgraph.recall.stores import aforget_archive, forget_archive

__all__ = [
    "Entry",
    "Ranking",
    "Recalled",
    "aforget_archive",
    "archived",
    "bm25_scores",
    "by_embeddings",
    "choose",
    "forget_archive",
    "keep_entries",
    "lineage",
    "resolve_ranking",
]
