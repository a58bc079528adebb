"""The figures of the paper (arXiv 2607.01523), as data, so that they can stand beside one's own.

Shares are printed there in per cent; here, as everywhere in this package, they are from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["GPT_OSS", "PAPER", "QWEN_14B", "QWEN_32B", "SOURCE", "Figure", "figures_of"]

SOURCE = "arXiv 2607.01523"

QWEN_14B, QWEN_32B, GPT_OSS = "Qwen2.5-14B-Instruct", "Qwen2.5-32B-Instruct", "gpt-oss-120b"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of the paper.

    Args:
        task: The task, by its name here.
        length: Tokens of the context; K is 1,024.
        method: The method, by its name here.
        model: The model that it was measured with.
        measure: `accuracy`, `mcr` or `mrr`; or `output_tokens` or `seconds`, of a sample.
        value: The share, from 0 to 1; or the tokens or seconds.
    """

    task: str
    length: int
    method: str
    model: str
    measure: str
    value: float


def _row(
    task: str,
    method: str,
    measure: str,
    lengths: Sequence[int],
    values: Sequence[float],
    model: str = QWEN_14B,
) -> Iterator[Figure]:
    """A row of one of the paper's tables: lengths in K tokens, shares in per cent."""
    shares = measure in ("accuracy", "mcr", "mrr")
    for length, value in zip(lengths, values, strict=True):
        yield Figure(
            task=task,
            length=length * 1024,
            method=method,
            model=model,
            measure=measure,
            value=round(value / 100, 4) if shares else value,
        )


_RULER, _BABILONG = "ruler-hqa", "babilong"
_RULER_K = (7, 14, 28, 56, 112, 224, 448, 896)
_BABILONG_K = (8, 16, 32, 64, 128, 256, 512, 1024)
_LONG_K = (112, 224, 448, 896)
_COST_K = (7, 112, 896)
_ONE_HEAD, _TWO, _FOUR, _EIGHT = (f"mhm-lru+heads={heads}+head_tokens=1024" for heads in (1, 2, 4, 8))

PAPER: tuple[Figure, ...] = (
    # Accuracy: whole context cut at the window, 1 x 4,096, 2 x 2,048 and 4 x 1,024 tokens of memory.
    *_row(_RULER, "llm", "accuracy", _RULER_K, (60.16, 60.94, 50.00, 57.03, 50.00, 37.50, 8.59, 0.00)),
    *_row(_RULER, "memagent", "accuracy", _RULER_K, (62.24, 60.94, 56.25, 50.52, 42.19, 42.97, 33.33, 21.62)),
    *_row(_RULER, "remem", "accuracy", _RULER_K, (64.32, 59.64, 50.26, 39.06, 29.68, 26.56, 16.14, 13.80)),
    *_row(_RULER, "mhm-lru", "accuracy", _RULER_K, (66.86, 62.76, 59.64, 55.21, 50.26, 50.26, 48.70, 49.74)),
    *_row(
        _BABILONG,
        "memagent",
        "accuracy",
        _BABILONG_K,
        (58.85, 55.99, 53.39, 47.14, 44.66, 38.02, 32.55, 25.26),
    ),
    *_row(
        _BABILONG, "remem", "accuracy", _BABILONG_K, (61.46, 55.21, 45.57, 42.19, 34.64, 32.29, 29.50, 24.48)
    ),
    *_row(
        _BABILONG,
        "mhm-lru",
        "accuracy",
        _BABILONG_K,
        (63.54, 60.94, 55.47, 51.82, 48.70, 47.39, 46.35, 41.41),
    ),
    # Retention. Of the baselines at 896K the paper says "under 30" only, so they are not here.
    *_row(_RULER, "mhm-lru", "mrr", (896,), (73.96,)),
    *_row(_BABILONG, "mhm-lru", "mrr", (1024,), (68.68,)),
    *_row(_BABILONG, "memagent", "mrr", (1024,), (42.96,)),
    *_row(_RULER, "memagent", "mrr", _LONG_K, (75.00, 55.84, 61.64, 35.71), GPT_OSS),
    *_row(_RULER, "mhm-lru", "mrr", _LONG_K, (84.48, 75.44, 69.35, 68.85), GPT_OSS),
    *_row(_RULER, "memagent", "mrr", _LONG_K, (84.04, 87.63, 88.54, 78.02), QWEN_32B),
    *_row(_RULER, "mhm-lru", "mrr", _LONG_K, (93.02, 95.65, 90.00, 81.91), QWEN_32B),
    # Ablations at 896K: selecting and writing in one call, a model as the selector, the number of heads.
    *_row(_RULER, "mhm-concur", "mrr", (896,), (54.12,)),
    *_row(_RULER, "mhm-concur", "accuracy", (896,), (33.59,)),
    *_row(_RULER, "mhm-relevance", "mrr", (896,), (74.71,)),
    *_row(_RULER, "mhm-relevance", "mcr", (896,), (67.97,)),
    *_row(_RULER, "mhm-relevance", "accuracy", (896,), (45.31,)),
    *_row(_RULER, "mhm-lru", "mcr", (896,), (69.16,)),
    *_row(_RULER, _ONE_HEAD, "mrr", (896,), (26.53,)),
    *_row(_RULER, _TWO, "mrr", (896,), (69.89,)),
    *_row(_RULER, _FOUR, "mrr", (896,), (74.67,)),
    *_row(_RULER, _EIGHT, "mrr", (896,), (87.12,)),
    # Cost of a sample.
    *_row(_RULER, "memagent", "seconds", _COST_K, (2.8, 31.5, 224.9)),
    *_row(_RULER, "mhm-lru", "seconds", _COST_K, (1.9, 25.9, 239.1)),
    *_row(_RULER, "memagent", "output_tokens", _COST_K, (330.6, 2834.4, 18013.9)),
    *_row(_RULER, "mhm-lru", "output_tokens", _COST_K, (142.8, 1875.7, 18085.5)),
)
"""All of them. With 16 heads of 1,024 tokens the paper's retention is level with that of 8."""


def figures_of(task: str, length: int, method: str, measure: str) -> list[Figure]:
    """The paper's figures for a cell of one's own; several where it measured several models.

    Example:
        >>> [figure.value for figure in figures_of("ruler-hqa", 917504, "mhm-lru", "accuracy")]
        [0.4974]
        >>> figures_of("needle", 8192, "mhm-lru", "accuracy")
        []
    """
    return [
        figure
        for figure in PAPER
        if (figure.task, figure.length, figure.method, figure.measure) == (task, length, method, measure)
    ]
