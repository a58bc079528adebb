"""Sentences of real texts, rewritten honestly and dishonestly: what the grounding rules are measured on."""

from __future__ import annotations

import gzip
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mhm_langgraph.text import sentences

__all__ = ["HONEST", "TAMPERED", "Passage", "bound_wrongly", "offices", "passages", "proper_names"]

_CHUNK = 20_000  # characters: 5,000 tokens of four


@dataclass(frozen=True)
class Passage:
    """A chunk and its sentences.

    Args:
        kind: Where it comes from.
        text: The chunk, as a reader would be shown it.
        sentences: Its sentences on one line each.
    """

    kind: str
    text: str
    sentences: tuple[str, ...]


def passages(data: Path, each: int, seed: int = 0) -> list[Passage]:
    """Chunks of books, encyclopaedia paragraphs and bAbI stories.

    Args:
        data: The folder of the data.
        each: How many of each kind.
        seed: Which ones.

    Returns:
        The chunks.
    """
    generator = random.Random(seed)  # noqa: S311  # not for secrets
    kinds = {"books": _books(data), "encyclopaedia": _paragraphs(data), "bAbI": _stories(data)}
    return [
        Passage(kind, text, tuple(_sentences(text)))
        for kind, texts in kinds.items()
        for text in generator.sample(texts, min(each, len(texts)))
    ]


def proper_names(texts: Iterable[str]) -> set[str]:
    """Words that stand with a capital inside sentences, more than once, and never without one."""
    small: set[str] = set()
    tall: Counter[str] = Counter()
    for text in texts:
        small.update(re.findall(r"\b[a-z]{3,}\b", text))
        tall.update(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b", text))
    return {name for name, count in tall.items() if count > 1 and name.lower() not in small}


def _sentences(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        for sentence in sentences(block):
            if len(line := " ".join(sentence.split())) > 1:
                yield line


def _chunks(text: str) -> list[str]:
    """Cut at blank lines into chunks of nearly the size."""
    chunks = [""]
    for block in re.split(r"(?<=\n\n)", text):
        if len(chunks[-1]) + len(block) > _CHUNK and chunks[-1]:
            chunks.append("")
        chunks[-1] += block
    return chunks[1:-1] or chunks


def _books(data: Path) -> list[str]:
    texts: list[str] = []
    for path in sorted((data / "books").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += _chunks(file.read())
    return texts


def _paragraphs(data: Path) -> list[str]:
    with gzip.open(data / "wiki_paragraphs.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return _chunks("".join(f"{record['text']}\n\n" for record in records))


def _stories(data: Path) -> list[str]:
    texts: list[str] = []
    for path in sorted((data / "babi").glob("qa*_test.txt")):
        lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines() if "\t" not in line]
        texts += _chunks("".join(line + "\n" * (1 + (i % 8 == 7)) for i, line in enumerate(lines)))
    return texts


Honest = Callable[[str, str, random.Random], str | None]
"""From a sentence, the one after it and chance to a rewritten sentence; None where there is nothing to do."""


def _reformatted(sentence: str, _: str, __: random.Random) -> str | None:
    """Thousands with or without a comma; small numbers as words and words as numbers."""

    def other(match: re.Match[str]) -> str:
        digits = match[0]
        if "," in digits:
            return digits.replace(",", "")
        if len(digits) > 4:
            return f"{int(digits):,}"
        return _SPELT[int(digits)] if 2 <= int(digits) <= 12 else digits

    changed = re.sub(r"(?<![\w.,:/-])(?:\d{1,3}(?:,\d{3})+|\d+)(?![\w,:/-]|\.\d)", other, sentence)
    changed = re.sub(
        rf"\b({'|'.join(_SPELT[2:])})\b(?!-)", lambda match: str(_SPELT.index(match[0])), changed
    )
    return changed if changed != sentence else None


_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_SPELT = _NUMBERS.split()


def _inflected(sentence: str, _: str, generator: random.Random) -> str | None:
    """Some plain words in another form: plural or singular, past or continuing."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if generator.random() < 0.5:
            return word
        if word.endswith("ed") and word[-3] not in "aeiouy":
            return word[:-2] + "ing"
        return word[:-1] if word.endswith("s") and word[-2] not in "susi" else word + "s"

    changed = re.sub(r"(?<![\w’'-])[a-z]{5,}(?![\w’'-])", other, sentence)
    return changed if changed != sentence else None


def _joined(sentence: str, following: str, _: random.Random) -> str | None:
    """With the sentence after it, in one."""
    if not following or not sentence.endswith(".") or following[:1] in "“‘\"'":
        return None
    return f"{sentence[:-1]}, and {following[0].lower()}{following[1:]}"


def _shortened(sentence: str, _: str, generator: random.Random) -> str | None:
    """A clause dropped, where nobody is quoted: what is left of speech would be put into a mouth."""
    if re.search('[“”‘"]', sentence):
        return None
    clauses = re.split(r"(?<=[,;]) (?!\d)", sentence)
    if len(clauses) < 2:
        return None
    dropped = generator.randrange(len(clauses))
    rest = " ".join(clauses[:dropped] + clauses[dropped + 1 :]).rstrip(",; ")
    return (rest[0].upper() + rest[1:] + ".").replace("..", ".") if len(rest) > 1 else None


def _requoted(sentence: str, _: str, __: random.Random) -> str | None:
    """Other kinds of quotation marks and apostrophes."""
    changed = sentence.translate(str.maketrans("“”‘’", "\"\"''"))
    if changed == sentence:
        changed = re.sub(r'"([^"]*)"', r"“\1”", sentence).replace("'", "’")
    return changed if changed != sentence else None


def _bare(sentence: str, _: str, __: random.Random) -> str | None:
    """Without accents."""
    decomposed = unicodedata.normalize("NFKD", sentence)
    changed = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return changed if changed != sentence else None


def _unhyphenated(sentence: str, _: str, __: random.Random) -> str | None:
    changed = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", sentence)
    return changed if changed != sentence else None


_OPENINGS = (
    "However, {}", "According to the text, {}", "The passage states that {}", "Importantly, {}",
    "Key fact: {}", "Also, {}", "Note that {}",
)  # fmt: skip


def _introduced(sentence: str, _: str, generator: random.Random) -> str | None:
    """After an opening of the kind that models use."""
    return generator.choice(_OPENINGS).format(sentence)


HONEST: dict[str, Honest] = {
    "copied": lambda sentence, *_: sentence,
    "in small letters": lambda sentence, *_: sentence.lower(),
    "in capitals": lambda sentence, *_: sentence.upper(),
    "numbers in another format": _reformatted,
    "inflected": _inflected,
    "joined with the next": _joined,
    "a clause dropped": _shortened,
    "other quotation marks": _requoted,
    "without accents": _bare,
    "without hyphens": _unhyphenated,
    "with an opening": _introduced,
    "as a list's item": lambda sentence, _, generator: (
        f"{generator.choice(['-', '*', '•', '1.', '12)'])} {sentence}"
    ),
}
"""Rewrites that say nothing new."""

Tampered = Callable[[str, Passage, Collection[str], random.Random], str | None]
"""From a sentence, its passage, names from elsewhere and chance to a false sentence."""


def _false_number(
    sentence: str, passage: Passage, _: Collection[str], generator: random.Random
) -> str | None:
    found = re.findall(r"(?<![\w.,])\d[\d,]*\d(?![\w])|(?<![\w.,])\d(?![\w])", sentence)
    if not found:
        return None
    number = generator.choice(found)
    size = len(number.replace(",", ""))
    low = 13 if size < 3 else 10 ** (size - 1)
    false = str(generator.randrange(low, max(100, 10**size)))
    return sentence.replace(number, false) if false not in passage.text else None


def _false_name(
    sentence: str, passage: Passage, names: Collection[str], generator: random.Random
) -> str | None:
    found = [name for name in re.findall(r"\b[A-Z][a-z]{2,}\b", sentence) if name in names]
    false = generator.choice(sorted(names))
    if not found or re.search(false, passage.text, re.IGNORECASE):
        return None
    return re.sub(rf"\b{generator.choice(found)}\b", false, sentence)


def _false_code(sentence: str, passage: Passage, _: Collection[str], generator: random.Random) -> str | None:
    letters = "".join(generator.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=2))
    form = generator.choice(["{0}-{1}", "{1}", "{0}{1}", "{1}{0}"])
    code = form.format(letters, generator.randrange(1000, 10_000))
    return f"{sentence.rstrip('.')} under the code {code}." if code not in passage.text else None


def _false_quote(sentence: str, _: Passage, __: Collection[str], generator: random.Random) -> str | None:
    """A word put into somebody's mouth."""
    match = re.search(r"“([^”]+ [^”]+)”", sentence) or re.fullmatch(r'[^"]*"([^"]+ [^"]+)"[^"]*', sentence)
    if match is None:
        return None
    said = match[1].split()
    said.insert(generator.randrange(1, len(said)), generator.choice(["never", "gladly", "secretly"]))
    return sentence[: match.start(1)] + " ".join(said) + sentence[match.end(1) :]


TAMPERED: dict[str, Tampered] = {
    "a number replaced": _false_number,
    "a name replaced": _false_name,
    "a code invented": _false_code,
    "a quotation altered": _false_quote,
}
"""Changes that make a sentence false, by what the text does not hold."""


def bound_wrongly(passage: Passage, names: Collection[str], generator: random.Random) -> Iterator[str]:
    """Sentences with a name, and the number of another sentence of the passage far from it."""
    numbers = [
        (place, number)
        for place, sentence in enumerate(passage.sentences)
        for number in re.findall(r"(?<![\w.,])\d{2,}(?![\w,.])", sentence)
        if passage.text.count(number) == 1
    ]
    for (place, number), (other, false) in pairwise(generator.sample(numbers, len(numbers))):
        sentence = passage.sentences[place]
        if abs(place - other) > 3 and any(name in names for name in re.findall(r"[A-Z][a-z]{2,}", sentence)):
            yield sentence.replace(number, false)


_TOWNS = ("Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi", "Sofia", "Tunis", "Riga", "Accra")


def offices(passage: Passage, generator: random.Random) -> tuple[str, str, list[str], list[str]]:
    """A passage in which five offices' codes are hidden.

    Returns:
        The passage, the question, true sentences, and sentences that give an office another's code.
    """
    towns = generator.sample(_TOWNS, 5)
    codes = generator.sample(range(1000, 10_000), 5)
    facts = [f"The access code of the {t} office is {c}." for t, c in zip(towns, codes, strict=True)]
    text = list(passage.sentences)
    for number, fact in enumerate(facts):
        text.insert((number + 1) * len(text) // 6, fact)
    false = [fact.replace(str(c), str(d)) for fact, c, d in zip(facts, codes, codes[1:], strict=False)]
    return " ".join(text), f"What is the access code of the {towns[0]} office?", facts, false
