"""Adapters (LoRA): their parameters, memory, time and energy by hand; who names which; what is refused; affinity."""

import numpy as np
import pytest

from infersim import simulate
from infersim.cost.adapters import parameters_a_rank
from infersim.cost.build import build_tables
from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from infersim.spec.adapters import AdapterSlots
from infersim.spec.errors import SpecError
from infersim.spec.pool import Parallelism

EACH = 32 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
"""Of Llama 3.1 8B, for each rank: q and o, k and v, gate, up and down."""


def tables(slots: int | None, tensor: int = 1) -> CostTables:
    return build_tables(
        catalogue.model("llama-3.1-8b"), catalogue.hardware("h100-sxm"), catalogue.engine("vllm"),
        Parallelism(tensor=tensor), "bf16", "bf16", 128, 2048, 16, None,
        adapters=None if slots is None else AdapterSlots(slots=slots, max_rank=16),
    )  # fmt: skip


def scenario(adapters: dict | None, lora: dict | None, policy: str = "least_outstanding", **pool: object) -> dict:
    return {
        "name": "adapters",
        "model": "llama-3.1-8b",
        "horizon_s": 60,
        "seed": 1,
        "workload": {
            "arrivals": {"process": "poisson", "rate_rps": 20},
            "input_tokens": {"distribution": "constant", "value": 300},
            "output_tokens": {"distribution": "constant", "value": 50},
        }
        | ({"adapters": adapters} if adapters else {}),
        "router": {"policy": policy},
        "pools": [
            {"name": "h100", "hardware": "h100-sxm", "replicas": {"initial": 4}}
            | ({"lora": lora} if lora else {})
            | pool
        ],
    }


def test_parameters_of_an_adapter() -> None:
    """41,943,040 at rank 16 on all linear layers, as PEFT and unsloth print it for Llama 3 8B."""
    assert 16 * parameters_a_rank(catalogue.model("llama-3.1-8b")) == 16 * EACH == 41_943_040


def test_slots_take_their_memory_from_the_blocks() -> None:
    without, with_slots = tables(None).memory, tables(40).memory
    taken = 40 * 41_943_040 * 2
    assert with_slots.reserve_bytes - without.reserve_bytes == taken
    assert without.blocks - with_slots.blocks == pytest.approx(taken / without.block_bytes, abs=1)


@pytest.mark.parametrize("tensor", [1, 4])
def test_times_by_hand(tensor: int) -> None:
    cost, chip = tables(8, tensor).adapters, catalogue.hardware("h100-sxm")
    assert cost is not None
    size = 41_943_040 * 2
    rates = chip.efficiency
    assert 16 * cost.rank_s == pytest.approx(size / (tensor * chip.host_gb_s.value * 1e9))
    assert float(cost.read.seconds) == pytest.approx(size / (tensor * 3352e9 * rates.matmul_memory.value), rel=0.01)
    assert float(cost.token.seconds) == pytest.approx(
        size / (tensor * 989.4e12 * rates.matmul_compute["bf16"].value), rel=0.01
    )
    # To the rank and back, for qkv, o, gate and up, and down.
    assert float(cost.step.seconds) == pytest.approx(2 * 4 * 32 * rates.op_floor_us.value * 1e-6)


def test_adapters_cost_time_and_energy() -> None:
    plain = simulate(scenario(None, None))
    tuned = simulate(scenario({"count": 30}, {"slots": 32}))
    assert (tuned.requests["adapter"] > 0).all()
    assert tuned.requests["adapter"].nunique() == 30
    assert tuned.summary["latency"]["tpot_s"]["mean"] > plain.summary["latency"]["tpot_s"]["mean"]
    used = tuned.summary["pools"]["h100"]["adapters"]
    assert used["admissions"] == len(tuned.requests)
    assert used["loads"] <= 4 * 30  # everybody has room for all: each replica loads each once
    record = tuned.record.pools[0]
    from infersim.cost.energy import usage

    used_s = usage(record.tables, record.tally).busy_s
    loads_s = record.tally.adapter_loads * 16 * record.tables.adapters.rank_s
    assert used_s + loads_s == pytest.approx(record.tally.busy_s)


def test_affinity_saves_loads() -> None:
    """400 adapters on four replicas of 32 slots: sent anywhere, each replica sees all of them; by hash, a quarter."""
    many = {"count": 400, "rank": [8, 16], "zipf_exponent": 0.8}
    apart, together = (
        simulate(scenario(many, {"slots": 32}, policy)) for policy in ("least_outstanding", "adapter_affinity")
    )
    hits = [result.summary["pools"]["h100"]["adapters"]["hit_ratio"] for result in (apart, together)]
    assert hits[1] > hits[0] + 0.1
    assert together.summary["latency"]["ttft_s"]["mean"] < apart.summary["latency"]["ttft_s"]["mean"]
    homes = together.requests.groupby("adapter")["replica"].nunique()
    assert (homes == 1).mean() > 0.9


def test_popularity_follows_zipf_and_share() -> None:
    result = simulate(scenario({"count": 50, "rank": [4, 8], "share": 0.5, "zipf_exponent": 1.0}, {"slots": 64}))
    named = result.requests["adapter"].to_numpy()
    assert (named > 0).mean() == pytest.approx(0.5, abs=0.05)
    share = np.bincount(named[named > 0], minlength=51)[1:] / (named > 0).sum()
    assert share[0] == pytest.approx(1 / (1 / np.arange(1, 51)).sum(), abs=0.05)


@pytest.mark.parametrize(
    ("adapters", "lora", "changes", "says"),
    [
        ({"count": 3}, None, {}, "give lora"),
        ({"count": 3, "rank": 64}, {"slots": 2}, {}, "use at least that"),
        ({"count": 3}, {"slots": 2}, {"queue": "fair_share"}, "use another"),
        ({"count": 3}, {"slots": 2}, {"hardware": "groq-lpu", "engine": "groq"}, "keeps weights in SRAM"),
        ({"count": 0}, {"slots": 2}, {}, "count"),
    ],
)
def test_what_cannot_be(adapters: dict, lora: dict | None, changes: dict, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        simulate(scenario(adapters, lora, **changes))
