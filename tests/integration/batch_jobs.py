"""Real jobs for the tests of batches: from ../shared/data where it is, else from the book that is shipped."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
BOOK = ROOT / "examples" / "books" / "moby_dick.txt.gz"
EXCERPT = ROOT / "tests" / "data" / "moby_dick_ch31-37.txt.gz"
ASKED = (
    "Who is the chief mate of the Pequod?",
    "What did Ahab nail to the mast?",
    "Who sells Queequeg's harpoon?",
    "Where does the whale feed?",
    "What does Starbuck say to Ahab?",
)
_PASSAGE = 4000  # characters


def write_real_jobs(folder: Path, count: int) -> list[dict[str, Any]]:
    """Write `jobs.jsonl` and what it names: questions on inline texts, and several on one file."""
    shutil.copy(EXCERPT, folder / "excerpt.txt.gz")
    on_file = [{"id": f"excerpt-{n}", "source": "excerpt.txt.gz", "question": q} for n, q in enumerate(ASKED)]
    inline = _hotpot() if SHARED.exists() else _passages()
    jobs = [*on_file[:3], *islice(inline, count - len(on_file)), *on_file[3:]]
    assert len(jobs) == count
    write_jobs(folder / "jobs.jsonl", jobs)
    return jobs


def write_jobs(path: Path, jobs: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs), encoding="utf-8")


def rows(out: Path) -> list[dict[str, Any]]:
    """The results, each line whole."""
    text = (out / "results.jsonl").read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def by_id(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows by their ids, each of which stands once; without what differs from run to run."""
    kept = {row["id"]: {name: row[name] for name in row if name != "seconds"} for row in found}
    assert len(kept) == len(found), "a job has two rows"
    return kept


def _hotpot() -> Iterator[dict[str, Any]]:
    """HotpotQA's questions, each on the ten paragraphs it came with (licence: ../shared/data)."""
    with gzip.open(SHARED / "wiki_paragraphs.jsonl.gz", "rt", encoding="utf-8") as lines:
        pool = {row["title"]: row["text"] for row in map(json.loads, lines)}
    with gzip.open(SHARED / "hotpotqa_questions.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            titles = sorted({*(title for title, _ in row["gold"]), *row["distractor_titles"]} & pool.keys())
            text = "\n\n".join(f"{title}. {pool[title]}" for title in titles)
            yield {"id": row["id"], "question": row["question"], "document": text}


def _passages() -> Iterator[dict[str, Any]]:
    """Passages of the book that is shipped, with questions in turn."""
    with gzip.open(BOOK, "rt", encoding="utf-8") as file:
        for number, passage in enumerate(iter(lambda: file.read(_PASSAGE), "")):
            yield {"id": number, "question": ASKED[number % len(ASKED)], "document": passage}
