"""The options that several commands have in common: each is written once."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from mhm_langgraph.cli.checks import number_of_heads

__all__ = [
    "AnswerTokens",
    "BaseUrl",
    "CallTimeout",
    "ChunkTokens",
    "ExitGate",
    "Grounding",
    "GroundingRule",
    "HeadTokens",
    "Heads",
    "MaxRetries",
    "MemoryTokens",
    "Model",
    "ParallelHeads",
    "Prompts",
    "Recall",
    "RecallTokens",
    "RecallUpdates",
    "Seed",
    "Selector",
    "TokenCounter",
    "UpdateGate",
]

Model = Annotated[str, Option(help="extractive (offline), local (a small model), or as openai:gpt-4.1-mini.")]
BaseUrl = Annotated[str | None, Option(help="OpenAI-compatible server, for openai:NAME.")]
Heads = Annotated[
    Any, Option(parser=number_of_heads, metavar="INTEGER|auto", help="Number of heads; auto: by the length.")
]
MemoryTokens = Annotated[int, Option(help="Size of all heads together, for auto.")]
HeadTokens = Annotated[int, Option(help="Size of a head, in tokens.")]
ChunkTokens = Annotated[int, Option(help="Size of a chunk, in tokens.")]
AnswerTokens = Annotated[int, Option(help="Size of the answer, in tokens.")]
Selector = Annotated[str, Option(help="lru, random or relevance.")]
Seed = Annotated[int, Option(help="Seed of the random selector.")]
Prompts = Annotated[
    str | None, Option(help="standard, compact or document-first. [default: what suits the model]")
]
Recall = Annotated[int, Option(help="Overwritten head texts shown again with the answer.")]
RecallTokens = Annotated[int, Option(help="Size of all of them, in tokens.")]
RecallUpdates = Annotated[bool, Option("--recall-updates", help="Show them at each update too.")]
Grounding = Annotated[str, Option(help="Sentences that the text does not support: off, flag or reject.")]
GroundingRule = Annotated[str, Option(help="What supports one: names, or verbatim wording.")]
TokenCounter = Annotated[
    str | None, Option(help="tiktoken, tiktoken:ENCODING or model. [default: UTF-8 bytes / 4]")
]
ParallelHeads = Annotated[int, Option(help="Heads rewritten at once, each from a chunk of its own.")]
UpdateGate = Annotated[
    bool, Option("--update-gate", help="Let the model skip chunks that hold nothing for the question.")
]
ExitGate = Annotated[bool, Option("--exit-gate", help="Let the model stop once memory suffices.")]
CallTimeout = Annotated[float, Option(help="Seconds that a call may take.")]
MaxRetries = Annotated[int, Option(help="How often a failed call is made again.")]
