"""Runs made by hand for the tests of `results`: small ones worked out on paper, large ones drawn at random."""

from dataclasses import replace
from typing import Any

import numpy as np

from infersim.controlplane.ledger import LEASE, SAMPLE
from infersim.cost.tables import CostTables, MemoryPlan, Work
from infersim.dataplane.records import OUTCOME
from infersim.dataplane.tally import ITL_BINS, Tally, itl_edges
from infersim.results.record import PoolRecord, RunRecord
from infersim.spec.arrivals import Mmpp
from infersim.spec.lengths import Constant
from infersim.spec.pool import Pool
from infersim.spec.scenario import Facility, Scenario, Slo, Workload

NAN = float("nan")
SPANS = ("held_s", "handling_s", "queued_s", "prefill_s", "decode_s", "preempted_s")


def work(length: int | None, **given: float) -> Work:
    """Work that is the same for every entry; zero where not given. Length None makes scalars."""
    names = ("flops", "memory_bytes", "network_bytes", "compute_s", "memory_s", "network_s", "launch_s")
    shape = () if length is None else (length,)
    return Work(**{name: np.full(shape, given.get(name, 0.0)) for name in names})


def cost_tables(**changes: Any) -> CostTables:
    """A replica of two imaginary chips: 1e12 FLOP/s, 1e9 B/s, 100 W idle, 300 W at most."""
    nothing = work(None)
    given: dict[str, Any] = {
        "linear": work(11, flops=1e9, memory_bytes=1e6, memory_s=0.006, launch_s=0.002),
        "sequences": work(5, launch_s=0.002),
        "decode_base": work(5),
        "decode_per_context": work(5),
        "prefill_chunk": nothing,
        "prefill_pair": nothing,
        "prefill_context": nothing,
        "memory": MemoryPlan(2, 2e9, 1.8e9, 1e9, 1e8, 1e3, 16, 100),
        "request_overhead_s": 0.0,
        "token_overhead_s": 0.0,
        "async_scheduling": False,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 10,
        "chips": 2,
        "peak_flops": 1e12,
        "peak_bytes_s": 1e9,
        "idle_w": 100.0,
        "tdp_w": 300.0,
        "joules_per_flop": 1e-9,
        "joules_per_byte": 1e-6,
        "load_s": 10.0,
        "provision_s": 5.0,
        "initialise_s": 5.0,
        "max_context": 4096,
    }
    return CostTables(**(given | changes))


def itl_counts(gaps_s: np.ndarray) -> np.ndarray:
    """The ITL histogram of these gaps."""
    return np.bincount(np.searchsorted(itl_edges(), gaps_s, side="right"), minlength=ITL_BINS).astype(np.float64)


def tally(steps: int, busy_s: float, gaps_s: np.ndarray) -> Tally:
    """Steps of one token and one decoding sequence each, and these inter-token gaps."""
    one = np.zeros(5)
    one[1] = steps
    return Tally(
        steps_by_tokens=np.concatenate([one, np.zeros(6)]),
        steps_by_sequences=one,
        steps_by_batch=one,
        context_by_batch=np.zeros(5),
        prefill_chunks=0.0,
        prefill_pairs=0.0,
        prefill_context=0.0,
        prefill_compute_s=0.0,
        prefill_memory_s=0.0,
        busy_s=busy_s,
        itl_counts=itl_counts(gaps_s),
        itl_sum_s=float(np.sum(gaps_s)),
        output_tokens=float(len(gaps_s)),
    )


def pool_record(name: str = "a100s", **changes: Any) -> PoolRecord:
    """A pool of two-chip replicas at 1.80 USD per chip-hour: 0.001 USD for each replica-second."""
    given: dict[str, Any] = {
        "name": name,
        "hardware": "imaginary",
        "engine": "vllm",
        "chips": 2,
        "usd_per_chip_hour": 1.80,
        "price_source": "made up",
        "tables": cost_tables(),
        "tally": tally(100, 1.0, np.array([0.01, 0.01, 0.02, 0.04])),
    }
    return PoolRecord(**(given | changes))


def scenario(pools: list[str], slo: Slo | None = None, **changes: Any) -> Scenario:
    """A scenario that names these pools."""
    given: dict[str, Any] = {
        "name": "by-hand",
        "model": "imaginary-1b",
        "horizon_s": 10.0,
        "workload": Workload(
            arrivals=Mmpp(process="mmpp", rates_rps=[1.0, 2.0], mean_sojourn_s=[1.0, 1.0]),
            input_tokens=Constant(distribution="constant", value=10),
            output_tokens=Constant(distribution="constant", value=3),
        ),
        "pools": [Pool(name=name, hardware="imaginary") for name in pools],
        "slo": slo or Slo(),
        "facility": Facility(pue=1.5),
    }
    return Scenario(**(given | changes))


def rows(dtype: np.dtype, entries: list[dict[str, float]]) -> np.ndarray:
    """Records from dictionaries; what is not given is 0."""
    table = np.zeros(len(entries), dtype)
    for k, entry in enumerate(entries):
        for name, value in entry.items():
            table[name][k] = value
    return table


def small_run(slo: Slo | None = None) -> RunRecord:
    """Five requests on two replicas over 20 s, worked out on paper:

    id  arrival  in  out  first  finish  ending     TTFT  TPOT           E2E
    0   1.0      10  3    1.5    2.5     finished   0.5   1.0 / 2 = 0.5  1.5
    1   2.0      20  5    3.0    3.4     finished   1.0   0.4 / 4 = 0.1  1.4
    2   3.0      30  1    3.2    3.2     finished   0.2   none           0.2
    3   4.0      99  0    -      4.0     rejected
    4   5.0      40  2    9.0    11.0    finished   4.0   2.0 / 1 = 2.0  6.0

    Replica 0: billed 0 to 20 s, ready at once, busy 6 s. Replica 1: asked for at 4, billed from 5, ready at 8, closed
    at 15, busy 2 s. Replica 2: asked for at 16, billed from 17, never ready, closed at 20.
    """
    spans = [(0.0, 0.1, 0.1, 0.3, 1.0, 0.0), (0.2, 0.1, 0.4, 0.3, 0.3, 0.1), (0.0, 0.1, 0.0, 0.1, 0.0, 0.0),
             (0.0,) * 6, (3.0, 0.1, 0.4, 0.5, 2.0, 0.0)]  # fmt: skip
    columns = (
        "id",
        "arrival_s",
        "input_tokens",
        "output_tokens",
        "pool",
        "replica",
        "status",
        "first_token_s",
        "finish_s",
    )
    values = [
        (0, 1.0, 10, 3, 0, 0, 0, 1.5, 2.5),
        (1, 2.0, 20, 5, 0, 0, 0, 3.0, 3.4),
        (2, 3.0, 30, 1, 0, 0, 0, 3.2, 3.2),
        (3, 4.0, 99, 0, -1, -1, 1, NAN, 4.0),
        (4, 5.0, 40, 2, 0, 1, 0, 9.0, 11.0),
    ]
    outcomes = rows(
        OUTCOME,
        [dict(zip((*columns, *SPANS), (*v, *s), strict=True)) for v, s in zip(values, spans, strict=True)],
    )
    outcomes["preemptions"][1] = 1
    lease = ("replica", "pool", "requested_s", "billed_from_s", "ready_s", "draining_s", "closed_s", "busy_s")
    leases = [
        (0, 0, 0.0, 0.0, 0.0, NAN, 20.0, 6.0),
        (1, 0, 4.0, 5.0, 8.0, 14.0, 15.0, 2.0),
        (2, 0, 16.0, 17.0, NAN, NAN, 20.0, 0.0),
    ]
    sample = ("time_s", "pool", "starting", "ready", "running", "waiting", "held", "arrived", "ended",
              "busy_s", "up_s", "billed_s", "joules", "output_tokens", "kv_blocks_used", "kv_blocks",
              "flops", "memory_bytes", "compute_s", "memory_s", "network_s", "launch_s")  # fmt: skip
    samples = [
        (0.0, 0, 0, 1, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 100, 0, 0, 0, 0, 0, 0),
        (10.0, 0, 0, 2, 1, 0, 1, 4, 3, 5.0, 12.0, 15.0, 3000.0, 9, 50, 200, 1e12, 2e9, 1.0, 3.0, 0.5, 0.5),
        (20.0, 0, 1, 1, 0, 0, 0, 4, 4, 8.0, 27.0, 33.0, 8000.0, 11, 0, 100, 2.5e12, 2.9e9, 3.0, 4.0, 0.5, 0.5),
    ]
    return RunRecord(
        scenario=scenario(["a100s"], slo),
        pools=[pool_record()],
        outcomes=outcomes,
        leases=rows(LEASE, [dict(zip(lease, entry, strict=True)) for entry in leases]),
        samples=rows(SAMPLE, [dict(zip(sample, entry, strict=True)) for entry in samples]),
        events=[(4.0, "scale", "a100s", -1, "1 to 2: 3 in flight"), (8.0, "ready", "a100s", 1, "")],
        end_s=20.0,
        warnings=["1 request was rejected"],
    )


def large_run(requests: int, seed: int = 1, horizon_s: float = 3600.0, slo: Slo | None = None) -> RunRecord:
    """A plausible bursty run on two pools, drawn at random; spans sum to latencies and counters grow."""
    rng = np.random.default_rng(seed)
    bursts = 1.0 + 6.0 * (np.sin(np.linspace(0, 40, 400)) > 0.6)
    arrival = np.sort(rng.choice(400, requests, p=bursts / bursts.sum()) + rng.random(requests)) * horizon_s / 400
    outcomes = np.zeros(requests, OUTCOME)
    outcomes["id"] = np.arange(requests)
    outcomes["arrival_s"] = arrival
    outcomes["input_tokens"] = rng.lognormal(6.8, 0.7, requests).astype(int) + 1
    outcomes["output_tokens"] = rng.lognormal(5.2, 0.6, requests).astype(int) + 1
    outcomes["pool"] = rng.integers(0, 2, requests)
    outcomes["replica"] = outcomes["pool"]
    outcomes["handling_s"] = 0.002
    outcomes["queued_s"] = (
        rng.gamma(0.5, 0.2, requests) * bursts[np.minimum(arrival * 400 / horizon_s, 399).astype(int)]
    )
    outcomes["prefill_s"] = outcomes["input_tokens"] * 6e-5
    outcomes["decode_s"] = (outcomes["output_tokens"] - 1) * rng.normal(0.03, 0.003, requests)
    outcomes["first_token_s"] = arrival + outcomes["handling_s"] + outcomes["queued_s"] + outcomes["prefill_s"]
    outcomes["finish_s"] = outcomes["first_token_s"] + outcomes["decode_s"]
    end_s = float(outcomes["finish_s"].max())
    times = np.append(np.arange(401) * horizon_s / 400, end_s)
    pools = ["reserved", "spot"]
    samples = np.zeros(len(times) * 2, SAMPLE)
    samples["time_s"] = np.repeat(times, 2)
    samples["pool"] = np.tile([0, 1], len(times))
    for p in range(2):
        own = samples["pool"] == p
        mine = outcomes[outcomes["pool"] == p]
        load = np.append(np.append(bursts[0], bursts), 0.0)
        samples["arrived"][own] = np.searchsorted(mine["arrival_s"], times, side="right")
        samples["ended"][own] = np.searchsorted(np.sort(mine["finish_s"]), times, side="right")
        flight = samples["arrived"][own] - samples["ended"][own]
        samples["running"][own] = np.minimum(flight, 300)
        samples["waiting"][own] = flight - np.minimum(flight, 300)
        samples["held"][own] = (load > 6) * 3
        samples["ready"][own] = np.convolve(load, np.ones(12) / 12)[: len(load)].astype(int) + 1 + p
        samples["starting"][own] = np.maximum(0, load.astype(int) - samples["ready"][own])
        steps = np.diff(times, prepend=0.0)
        up = np.cumsum(samples["ready"][own] * steps)
        samples["up_s"][own] = up
        samples["busy_s"][own] = up * 0.7
        samples["billed_s"][own] = up + np.cumsum(samples["starting"][own] * steps)
        samples["joules"][own] = samples["billed_s"][own] * 200.0
    last = samples[-2:]
    leases = np.zeros(2, LEASE)
    leases["replica"] = leases["pool"] = [0, 1]
    leases["ready_s"] = last["billed_s"] - last["up_s"]
    leases["draining_s"] = NAN
    leases["closed_s"] = last["billed_s"]
    leases["busy_s"] = last["busy_s"]
    gaps = rng.normal(0.03, 0.003, 10_000)
    return RunRecord(
        scenario=scenario(pools, slo, name="chat-burst", horizon_s=horizon_s, description="How do bursts hurt?"),
        pools=[pool_record(name, tally=tally(1000, float(last["busy_s"][k]), gaps)) for k, name in enumerate(pools)],
        outcomes=outcomes,
        leases=leases,
        samples=samples,
        events=[(float(k), "scale", "spot", -1, f"{k} to {k + 1}: busy") for k in range(20)],
        end_s=max(end_s, horizon_s),
        warnings=[],
    )


def edited(run: RunRecord, requests: int | slice | None = None, **changes: Any) -> RunRecord:
    """The run with only the first rows, or a slice, of a table (a number or slice), or with a table of its own."""
    if requests is not None:
        changes["outcomes"] = requests
    for name, value in changes.items():
        if isinstance(value, int | slice):
            changes[name] = getattr(run, name)[value if isinstance(value, slice) else slice(value)]
    return replace(run, **changes)
