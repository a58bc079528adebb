"""Model calls and prompt tokens: what the method itself costs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.common import HEAD_TOKENS, HEADS, QUESTION, chunk_tokens_for, chunks_of, full_text, prose
from benchmarks.table import Row, main
from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel
from mhm_langgraph.tokens import TokenCounter, resolve_counter, utf8_tokens

__all__ = ["measure"]

_CHUNK_TOKENS = 5000
_RATIO_GOAL = 1.02
_O200K_FILE = "fb374d419588a4632f3f557e76b4b70aebbca790"  # what tiktoken's cache calls o200k_base
_FULL, _QUICK = 200, 6  # steps
_PRESETS = ("standard", "compact")


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    steps = _QUICK if quick else _FULL
    rows = [_calls(steps, quick)]
    counters = {"UTF-8 bytes / 4": utf8_tokens, **_tiktoken()}
    return rows + [
        _tokens(preset, name, count, steps, quick) for preset in _PRESETS for name, count in counters.items()
    ]


def _calls(steps: int, quick: bool) -> Row:
    """Count the calls a chat model sees; the chunks are counted apart, without the graph."""
    document = prose(steps * 4 * 500)
    chunk_tokens = chunk_tokens_for(document, steps)
    chunks = chunks_of(document, chunk_tokens)
    model = ScriptedChatModel(replies=["A fact."])
    graph = create_mhm_agent(model, heads=HEADS, head_tokens=HEAD_TOKENS, chunk_tokens=chunk_tokens)
    result = graph.invoke({"question": QUESTION, "document": document})
    calls = len(model.prompts)
    return Row(
        name=f"model calls for N chunks (here N = {chunks})",
        limit="N + 1",
        goal="N + 1",
        measured=f"{calls} calls for {chunks} chunks (N {calls - chunks:+})",
        value=calls - chunks,
        unit="calls over N",
        met=calls == chunks + 1,
        note=f"prompts that a chat model received; usage says {result['usage']['calls']}",
    )


def _tokens(preset: str, counter: str, count: TokenCounter, steps: int, quick: bool) -> Row:
    """Compare the update prompts of H heads with those of one head of the same total size."""
    document = prose(steps * _CHUNK_TOKENS * 4)
    many = _update_tokens(HEADS, HEAD_TOKENS, preset, document, count)
    one = _update_tokens(1, HEADS * HEAD_TOKENS, preset, document, count)
    ratio = sum(many) / sum(one)
    each = f"{sum(many) / len(many):,.0f} against {sum(one) / len(one):,.0f} a prompt"
    return Row(
        name=f"prompt tokens against the single-memory loop at equal memory, {preset} prompts, {counter}",
        limit="1.00",
        goal=f"<= {_RATIO_GOAL}",
        measured=f"{ratio:.4f}",
        value=ratio,
        unit="ratio",
        met=None if quick else ratio <= _RATIO_GOAL,
        note=f"{HEADS} x {HEAD_TOKENS} against 1 x {HEADS * HEAD_TOKENS} tokens, chunks of {_CHUNK_TOKENS}; "
        f"{each}, {len(many)} update prompts after the {HEADS} that fill the heads",
    )


def _update_tokens(
    heads: int, head_tokens: int, preset: str, document: str, count: TokenCounter
) -> list[int]:
    """Tokens of each update prompt once all heads are full."""
    model = ScriptedChatModel(replies=[full_text(head_tokens, number) for number in range(16)])
    graph = create_mhm_agent(
        model, heads=heads, head_tokens=head_tokens, chunk_tokens=_CHUNK_TOKENS, prompts=preset
    )
    result = graph.invoke({"question": QUESTION, "document": document})
    assert all(head["tokens"] == head_tokens for head in result["heads"]), "the heads are not full"
    # The same number is left out on both sides, or the two would read other chunks.
    return [count(prompt) for prompt in model.prompts[HEADS:-1]]


def _tiktoken() -> dict[str, TokenCounter]:
    """OpenAI's tokenizer where its file is at hand: a benchmark downloads nothing."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    cached = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    if not (cached / _O200K_FILE).is_file():
        return {}
    return {"tiktoken o200k_base": resolve_counter("tiktoken:o200k_base")}


if __name__ == "__main__":
    main(measure, __doc__)
