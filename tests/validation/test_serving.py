"""What a re-simulated source would have reported, against what its runs must give by construction."""

from dataclasses import replace

import pytest

from infersim.studies.arrivals import arrivals
from infersim.studies.cases import Case, Load, Row, known_chip, known_engine, known_model
from infersim.studies.resimulation import loop_cost, price, resimulate


def case(kind: str, **load: float) -> Case:
    """Llama 3.1 8B on H100s under TensorRT-LLM."""
    return Case(
        name=kind, model=known_model("llama-3.1-8b"), hardware=known_chip("h100-sxm"), engine=known_engine("TensorRT-LLM 1.0", known_chip("h100-sxm")),
        tensor=1, pipeline=1, expert=1, attention_data=1, chips=None, replicas=1, weights="fp8", kv_cache="fp8",
        load=Load(kind, prompt=500, output=200, **load),  # type: ignore[arg-type]
        rows=(Row({}, "output_tok_s", "mean", 1.0),), group="", max_num_seqs=64,
    )  # fmt: skip


def tokens_a_second(one: Case) -> float:
    """Output throughput [1/s]."""
    outcome = resimulate(one)
    return float(outcome.outputs.sum()) / outcome.makespan_s


def test_replicas_of_an_offline_run_do_as_one_does() -> None:
    """Eight replicas yield eight times as much, not less because each sees an eighth of the requests."""
    one = case("offline_throughput")
    assert tokens_a_second(replace(one, replicas=8)) == pytest.approx(8 * tokens_a_second(one), rel=0.03)


def test_a_server_that_keeps_up_yields_what_is_asked_of_it() -> None:
    """Its throughput is the rate times the length of the answers, however long it takes to fill and to drain (7,200 Poisson arrivals tell a
    rate to 2 %)."""
    assert tokens_a_second(case("server", rate_rps=2.0)) == pytest.approx(2.0 * 200, rel=0.05)


def test_a_server_is_served_for_an_hour_or_for_as_many_requests_as_its_source_states() -> None:
    for rate, stated, served in ((2.0, 0, 7200), (2.0, 300, 300), (0.1, 0, 1000), (500.0, 0, 400_000)):
        one = case("server", rate_rps=rate, requests=stated)
        assert len(arrivals(one, price(one))[0]) == served


def test_tensorrt_llm_promises_blocks_and_vllm_does_not() -> None:
    """Its executor's GUARANTEED_NO_EVICT; vLLM preempts."""
    one = case("offline_throughput")
    assert loop_cost(one, price(one)).promises
    other = replace(one, engine=known_engine("vLLM 0.15", one.hardware))
    assert not loop_cost(other, price(other)).promises


def test_beams_share_the_work_of_their_prompt() -> None:
    """Where prompts are all of the work, four beams take as long as one; they took four times that when each prefilled its own."""
    one = replace(
        case("offline_throughput", requests=100), load=Load("offline_throughput", prompt=4000, output=2, requests=100)
    )
    four = replace(one, load=replace(one.load, beams=4))
    assert resimulate(four).makespan_s == pytest.approx(resimulate(one).makespan_s, rel=0.15)


@pytest.mark.parametrize(("users", "ahead", "steps"), [(1, True, 1.0), (8, False, 15 / 8), (8, True, 21 / 8)])
def test_a_users_next_prompt_waits_for_the_steps_that_run_and_are_scheduled(
    users: int, ahead: bool, steps: float
) -> None:
    """Answers of one length that began one prompt a step after the other end so. The first to end finds a step
    that only decodes; whoever ends with the next steps finds one begun with another's prompt, so that all but one take two such steps; where
    the engine is a step ahead the one after that is scheduled already: one, two, and then three each. An idle engine takes a prompt at once."""
    load = Load("closed_loop", prompt=4000, output=64, users=users, requests=20 * users)
    one = replace(case("closed_loop"), load=load, max_num_batched_tokens=4000 + users)
    brief = one.engine.request_overhead_ms.model_copy(update={"value": 1e-3})
    host = {"async_scheduling": ahead, "request_overhead_ms": brief, "token_overhead_us": brief}
    one = replace(one, engine=one.engine.model_copy(update=host))
    prompt_s = price(one).step_s(4000, 1, 0, 0.0, [(4000 * 4001 / 2, 4000.0)])
    steady = resimulate(one).seconds["ttft_s"][10 * users :]
    assert steady.mean() == pytest.approx(steps * prompt_s, rel=0.06)
