"""A bench in LangSmith: its samples as datasets, its runs as experiments, its measures as feedback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from langsmith import Client, RunTree
from langsmith.schemas import Dataset
from langsmith.utils import LangSmithError

from mhm_langgraph import MHMError, SettingsError
from mhm_langgraph.errors import redact
from mhm_langgraph.evaluation.folder import Key, files_of, key_of, read_bench, read_trajectories
from mhm_langgraph.evaluation.measures import Score, score
from mhm_langgraph.evaluation.records import Sample, Trajectory
from mhm_langgraph.evaluation.runner import Samples
from mhm_langgraph.evaluation.tasks import format_length
from mhm_langgraph.files import replacing
from mhm_langgraph.text import fingerprint

__all__ = ["UploadError", "check_langsmith", "feedback_of", "upload_bench"]

_RECORD = "langsmith.json"
_BATCH_CHARACTERS = 8_000_000  # of samples held at once
_RUNS_BETWEEN = 50  # runs that are sent before the record says so


class UploadError(MHMError):
    """LangSmith did not take what was sent. The results are in the folder all the same."""


def check_langsmith() -> None:
    """Refuse to begin where the key is missing.

    Raises:
        SettingsError: Names the variable.
    """
    if not (os.environ.get("LANGSMITH_API_KEY") or os.environ.get("LANGCHAIN_API_KEY")):
        raise SettingsError("--langsmith needs a key: set LANGSMITH_API_KEY, or leave it out.")


def upload_bench(
    folder: str | Path,
    samples: Mapping[int, Samples],
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Upload what is finished and not uploaded yet.

    The samples of each length become a dataset, which another bench on the same samples uses again; each
    method at each length becomes an experiment on it. What is uploaded is noted in the folder.

    Args:
        folder: A folder that `mhm bench` wrote.
        samples: Its samples, by length.
        say: Told what is being done, a line each.

    Raises:
        UploadError: LangSmith did not take it.
    """
    failures: list[Exception] = []  # of what the client sends in the background
    client = Client(tracing_error_callback=failures.append)
    upload = _Upload(Path(folder), client, read_bench(folder), failures)
    try:
        for length, of_length in samples.items():
            say(f"Uploading to LangSmith: {upload.dataset(length, of_length).name}")
        sent = upload.runs()
    except LangSmithError as error:
        lines = redact(str(error)).strip().splitlines() or [type(error).__name__]
        raise UploadError(f"LangSmith did not take the upload: {lines[0]:.300}") from error
    finally:
        client.close()
    say(f"Uploaded to LangSmith: {sent:,} runs, in {len(upload.record.experiments):,} experiments in all.")


@dataclass
class _Record:
    """What of a folder is uploaded; kept beside it.

    Args:
        path: The file.
        bench: A short name that sets this bench's experiments apart from others.
        experiments: Id of the experiment of each length and method.
        uploaded: Runs that are uploaded.
    """

    path: Path
    bench: str
    experiments: dict[str, str] = field(default_factory=dict)
    uploaded: set[Key] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> _Record:
        """The record of a folder; a new one where there is none."""
        if not path.exists():
            return cls(path, uuid4().hex[:8])
        held = json.loads(path.read_text(encoding="utf-8"))
        keys = {(key[0], key[1], key[2], key[3]) for key in held["uploaded"]}
        return cls(path, held["bench"], held["experiments"], keys)

    def write(self) -> None:
        """Keep it, whole or not at all."""
        held = {"bench": self.bench, "experiments": self.experiments, "uploaded": sorted(self.uploaded)}
        with replacing(self.path) as aside:
            aside.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


class _Upload:
    """One upload of a folder."""

    def __init__(
        self, folder: Path, client: Client, bench: Mapping[str, Any], failures: Sequence[Exception]
    ) -> None:
        self._folder, self._client, self._bench, self._failures = folder, client, bench, failures
        self._datasets: dict[int, Dataset] = {}
        self.record = _Record.read(folder / _RECORD)

    def dataset(self, length: int, samples: Samples) -> Dataset:
        """The dataset of a length, made and filled as far as it is not there."""
        settings, name = self._bench["settings"], self._dataset_name(length)
        if self._client.has_dataset(dataset_name=name):
            dataset: Dataset = self._client.read_dataset(dataset_name=name)
        else:
            dataset = self._client.create_dataset(
                name,
                description=f"Samples of {settings['task']}, {format_length(length)} tokens each.",
                metadata={key: settings[key] for key in ("task", "variants", "seed", "token_counter")},
            )
        there = {str(one.id) for one in self._client.list_examples(dataset_id=dataset.id, select=["id"])}
        for batch in _batches(name, samples, there):
            self._client.create_examples(dataset_id=dataset.id, examples=batch)
        self._datasets[length] = dataset
        return dataset

    def runs(self) -> int:
        """Upload the finished runs; how many there were."""
        sent = 0
        for one in read_trajectories(self._folder):
            if one.error is None and one.length in self._datasets and key_of(one) not in self.record.uploaded:
                self._run(one)
                self.record.uploaded.add(key_of(one))
                sent += 1
                if sent % _RUNS_BETWEEN == 0:
                    self._settle()
        self._settle()
        return sent

    def _settle(self) -> None:
        """Wait until what was sent is out; only then note it."""
        self._client.flush()
        if self._failures:
            raise LangSmithError(str(self._failures[0]))
        self.record.write()

    def _run(self, one: Trajectory) -> None:
        """One run of an experiment, with its measures."""
        project, id_ = self._experiment(one), uuid4()
        ended = datetime.now(UTC)
        RunTree(
            id=id_,
            name=one.method,
            run_type="chain",
            inputs={"question": one.question},
            outputs=_outputs(one),
            start_time=ended - timedelta(seconds=one.seconds),
            end_time=ended,
            project_name=project[0],
            reference_example_id=_example_id(self._datasets[one.length].name, one.sample),
            ls_client=self._client,
            extra={"metadata": {"run": one.run, "length": one.length, "variant": one.variant, **one.usage}},
        ).post()
        for key, value in feedback_of(score(one)).items():
            self._client.create_feedback(
                run_id=id_, trace_id=id_, session_id=UUID(project[1]), key=key, score=value
            )

    def _experiment(self, one: Trajectory) -> tuple[str, str]:
        """Name and id of the experiment that a run belongs to, made if need be."""
        settings, key = self._bench["settings"], f"{one.length}/{one.method}"
        label = f"{settings['task']} {format_length(one.length)} {settings['model']}"
        name = f"{one.method} {label} {self.record.bench}"
        if key not in self.record.experiments:
            start = self._bench["starts"][-1]
            project = self._client.create_project(
                name,
                reference_dataset_id=self._datasets[one.length].id,
                metadata={**settings, "method": one.method, "prompts_hash": self._bench["prompts"], **start},
            )
            self.record.experiments[key] = str(project.id)
            self.record.write()
        return name, self.record.experiments[key]

    def _dataset_name(self, length: int) -> str:
        """Named by what it is made of, so that the same samples have the same name."""
        settings = self._bench["settings"]
        made_of = [settings[name] for name in ("task", "variants", "seed", "token_counter")]
        files = files_of(self._bench["data"], length)
        mark = fingerprint(json.dumps([*made_of, length, files], sort_keys=True))[:8]
        return f"mhm {settings['task']} {format_length(length)} seed {settings['seed']} {mark}"


def _batches(dataset: str, samples: Samples, there: set[str]) -> Iterator[Sequence[dict[str, Any]]]:
    """The examples that are missing, so many at a time as may be held."""
    batch: list[dict[str, Any]] = []
    held = 0
    for index, name in enumerate(samples.ids):
        id_ = _example_id(dataset, name)
        if str(id_) in there:
            continue
        sample = samples[index]
        batch.append(_example(id_, sample))
        held += len(sample.context)
        if held >= _BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _example(id_: UUID, sample: Sample) -> dict[str, Any]:
    return {
        "id": id_,
        "inputs": {"question": sample.question, "context": sample.context},
        "reference_outputs": {"answers": list(sample.answers), "all_needed": sample.all_needed},
        "metadata": {
            "sample": sample.id,
            "variant": sample.variant,
            "length": sample.length,
            "tokens": sample.tokens,
            "evidence": [list(span) for span in sample.evidence],
        },
    }


def _example_id(dataset: str, sample: str) -> UUID:
    """The same for the same sample, so that it is uploaded once."""
    return uuid5(NAMESPACE_URL, f"mhm:{dataset}:{sample}")


def _outputs(one: Trajectory) -> dict[str, Any]:
    """The answer, and every turn of the memory."""
    turns = [
        {"step": update.step, "head": update.head, "span": list(update.span), "text": update.text}
        for update in one.updates
    ]
    return {"answer": one.answer, "updates": turns, "recalled": list(one.recalled)}


def feedback_of(one: Score) -> dict[str, float]:
    """The measures of a run as LangSmith averages them.

    Args:
        one: The run's score.

    Returns:
        Values by key; `mcr` where capture is measured, `mrr` where the answer was captured.
    """
    told = {"accuracy": float(one.correct), "f1": one.f1}
    if one.tracked:
        told["mcr"] = float(one.captured)
    if one.captured:
        told["mrr"] = float(one.retained)
    return told
