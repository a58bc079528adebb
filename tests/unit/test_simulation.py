"""The simulated reader in the real graph, beside the same process without it and the sums."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph import SettingsError, create_mhm_agent
from mhm_langgraph.evaluation import Sample
from mhm_langgraph.evaluation.simulation import Fact, SimulatedReader, Simulation, facts_of, simulate
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.retention import Rates, expected_retention, survival

LINE = "The code of Ghent is 7319."
FILLER = "It rained on the harbour all day long.\n\n"
STEPS = 40
UNSURE = Rates(capture=0.8, forget=0.3, copy=0.2)


def sample_of(number: int) -> Sample:
    """One fact at a place of its own among STEPS paragraphs, each of them a chunk."""
    place = number % STEPS
    context = FILLER * place + LINE + "\n\n" + FILLER * (STEPS - 1 - place)
    start = len(FILLER) * place
    return Sample(
        id=str(number),
        task="needle",
        length=400,
        tokens=400,
        question="Which code?",
        context=context,
        answers=("7319",),
        evidence=((start, start + len(LINE)),),
    )


def read(reader: SimulatedReader, sample: Sample, heads: int, **options):
    graph = create_mhm_agent(reader, heads=heads, chunk_tokens=len(FILLER) // 4 + 1, **options)
    return graph, {"question": sample.question, "document": sample.context}


@pytest.mark.parametrize("heads", [1, 4])
def test_the_graph_the_process_and_the_sum_agree(heads: int) -> None:
    runs, captured, retained = 80, 0, 0
    for number in range(runs):
        sample = sample_of(number)
        graph, given = read(Simulation(rates=UNSURE).reader(sample), sample, heads)
        seen = list(graph.stream(given, stream_mode="values"))
        assert seen[-1]["step"] == STEPS
        held = [any(LINE in head["text"] for head in state["heads"]) for state in seen if state.get("heads")]
        captured += any(held)
        retained += held[-1]
        assert (seen[-1]["answer"] == LINE) == held[-1]
    expected = expected_retention(heads, STEPS, UNSURE)
    fates = simulate(heads, STEPS, UNSURE, facts=40_000)
    assert captured / runs == pytest.approx(UNSURE.capture, abs=3 * (0.8 * 0.2 / runs) ** 0.5)
    assert retained / captured == pytest.approx(
        expected, abs=3 * (expected * (1 - expected) / captured) ** 0.5
    )
    assert fates.retention == pytest.approx(
        expected, abs=4 * (expected * (1 - expected) / len(fates.retained)) ** 0.5
    )


@pytest.mark.parametrize(("forget", "copy"), [(0.02, 0.0), (0.02, 0.01), (0.2, 0.3)])
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_a_million_tokens_of_the_process_are_as_the_sums_say(heads: int, forget: float, copy: float) -> None:
    rates, steps, facts = Rates(capture=1, forget=forget, copy=copy), 200, 20_000
    fates = simulate(heads, steps, rates, facts=facts, seed=heads)
    expected = expected_retention(heads, steps, rates)
    assert fates.retention == pytest.approx(expected, abs=4 * (expected * (1 - expected) / facts) ** 0.5)
    alive = survival(heads, steps - 1, rates)
    for since in (0, 1, 10, 50, 100, 150):
        risk = fates.at_risk[since]
        error = (alive[since] * (1 - alive[since]) / risk) ** 0.5
        assert fates.alive[since] / risk == pytest.approx(alive[since], abs=4 * error)


def test_a_run_that_is_resumed_ends_as_one_that_was_not() -> None:
    sample = sample_of(7)
    graph, given = read(Simulation(rates=UNSURE).reader(sample), sample, 4, checkpointer=InMemorySaver())
    whole = graph.invoke(given, {"configurable": {"thread_id": "whole"}})
    config = {"configurable": {"thread_id": "stopped"}}
    for number, _ in enumerate(graph.stream(given, config, stream_mode="updates")):
        if number == 50:
            break
    again, _ = read(Simulation(rates=UNSURE).reader(sample), sample, 4, checkpointer=graph.checkpointer)
    resumed = again.invoke(None, config)
    assert resumed["heads"] == whole["heads"]
    assert resumed["answer"] == whole["answer"]


async def test_async_is_the_same() -> None:
    sample = sample_of(3)
    graph, given = read(Simulation(rates=UNSURE).reader(sample), sample, 2)
    assert (await graph.ainvoke(given))["heads"] == graph.invoke(given)["heads"]


def test_seeds_runs_and_samples_have_their_own_chances() -> None:
    request = UpdateRequest(
        question="?", heads=[LINE], head=0, chunk="", head_tokens=100, span=(10_000, 10_001)
    )
    even = Rates(forget=0.5)

    def life(simulation: Simulation, sample: Sample, run: int = 0) -> list[bool]:
        reader = simulation.reader(sample, run)
        steps = [UpdateRequest(**{**vars(request), "step": step}) for step in range(64)]
        return [reader.update(step).text == LINE for step in steps]

    first = life(Simulation(rates=even), sample_of(0))
    assert life(Simulation(rates=even), sample_of(0)) == first
    assert life(Simulation(rates=even, seed=1), sample_of(0)) != first
    assert life(Simulation(rates=even), sample_of(0), run=1) != first
    assert life(Simulation(rates=even), sample_of(40), run=0) != first


def test_a_fact_that_a_head_has_no_room_for_is_cut() -> None:
    facts = [Fact("a" * 40, (0,)), Fact("b" * 40, (1,))]
    reader = SimulatedReader(facts, rates=Rates(capture=1))
    reply = reader.update(
        UpdateRequest(question="?", heads=[""], head=0, chunk="", head_tokens=12, span=(0, 10))
    )
    assert (reply.text, reply.cut) == ("a" * 40, True)


def test_a_head_that_lost_everything_is_rewritten_and_says_nothing() -> None:
    reader = SimulatedReader([Fact(LINE, (0,))], rates=Rates(forget=1, copy=0))
    request = UpdateRequest(question="?", heads=[LINE], head=0, chunk="", head_tokens=99, span=(90, 99))
    assert reader.update(request).text == "-"
    assert reader.answer(AnswerRequest(question="?", heads=["-"], answer_tokens=9)).text == "-"


def test_with_gates_it_skips_and_exits_as_one_who_knows() -> None:
    sample, sure = sample_of(7), Rates(capture=1)
    for gates, steps, skipped in (
        ({"update_gate": True}, STEPS, STEPS - 1),
        ({"exit_gate": True}, 8, 0),
        ({"update_gate": True, "exit_gate": True}, 8, 7),
    ):
        graph, given = read(SimulatedReader(facts_of(sample), rates=sure), sample, 2, **gates)
        *updates, answered = graph.stream(given, stream_mode="custom")
        assert (len(updates), answered["answer"]) == (steps, LINE)
        assert sum(event["gated"] == "skip" for event in updates) == skipped
        assert answered.get("exited", False) == ("exit_gate" in gates)


def test_without_facts_nothing_suffices() -> None:
    sample = sample_of(7)
    graph, given = read(SimulatedReader([]), sample, 2, exit_gate=True)
    assert graph.invoke(given)["step"] == STEPS


def test_passages_that_say_the_same_are_one_fact() -> None:
    sample = sample_of(0)
    twice = Sample(
        **{
            **vars(sample),
            "context": f"{LINE}\n\n{FILLER}{LINE} And more.",
            "evidence": ((0, len(LINE)), (len(LINE) + 2 + len(FILLER), 2 * len(LINE) + 12 + len(FILLER))),
        }
    )
    assert facts_of(twice) == [Fact(LINE, (0, len(LINE) + 2 + len(FILLER)))]


def test_a_passage_without_the_answer_is_told_by_its_first_sentence() -> None:
    sample = Sample(**{**vars(sample_of(0)), "answers": ("yes",)})
    assert [fact.line for fact in facts_of(sample)] == [LINE]


def test_it_says_what_it_is() -> None:
    assert SimulatedReader([]).description.startswith("simulation: ")
    assert "not a language model" in SimulatedReader([]).description


@pytest.mark.parametrize(
    "name", ["simulation", "simulation:copy=0", "simulation:seed=7, forget=0.25,capture=1"]
)
def test_a_name_says_the_numbers_and_is_parsed_again(name: str) -> None:
    simulation = Simulation.parse(name)
    assert Simulation.parse(simulation.name) == simulation


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("simulated", "no simulation"),
        ("simulation:", "''"),
        ("simulation:forget", "'forget'"),
        ("simulation:forget=often", "'forget=often'"),
        ("simulation:seed=1.5", "'seed=1.5'"),
        ("simulation:forget=2", "forget=2.0 is not allowed"),
        ("simulation:forget=nan", "forget=nan"),
    ],
)
def test_a_wrong_name_is_refused(name: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Simulation.parse(name)
    assert part in str(caught.value)
