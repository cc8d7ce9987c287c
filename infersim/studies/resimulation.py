"""One case of measurements served by the compiled fleet, and what a client would have measured of it.

Offline: all requests at time 0. A fixed batch: the same with static batching. A closed loop of N users: each sends its next
request when the one before has ended (`users.py`). A server: Poisson arrivals. An online run: requests nearly evenly spaced at each stage's rate, its
conversations taking turns, with their prompts as prefixes. Single requests: as they came.
Not here: reading tables (`measurements.py`), errors (`validation.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.build import build_tables
from infersim.cost.speculation import speculative
from infersim.cost.tables import CostTables
from infersim.cost.work import padding
from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.records import FINISHED, NONE, REQUEST
from infersim.dataplane.tally import Tally
from infersim.spec.engine import Engine
from infersim.spec.model import Model, prediction_layer
from infersim.spec.pool import Parallelism
from infersim.studies.cases import CannotSay, Case, Load, Row
from infersim.studies.polling import polled
from infersim.studies.users import apart, serve_users

Floats = NDArray[np.float64]
Arrivals = tuple[NDArray, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

CAUSES = ("compute_s", "memory_s", "network_s", "launch_s")
LOOPS = ("closed_loop", "single_stream")
STAGE_GAP_S = 10.0
"""Pause between the stages of an online run [s]."""
LONGEST_STEP = 16_384
"""Most prompt tokens in a step of a static batch."""
SENDING_S = 1e-3
"""Time between the first requests of a closed loop's users: a client sends one after the other [s]."""
STEADY = 0.1
"""Share of a server's requests that are left out at the beginning, while it fills."""
FILLED = 0.5
"""Share of its arrivals after which a server's throughput is steady, even with answers of minutes."""
MOST_REQUESTS = 20_000
SERVED_S = 3600.0
"""How long a server is served where a source does not say [s]: MLPerf's lose 0.3 to 3 % of their rate to the answers, of half a minute in the
mean, that end after the last arrival, so they ran for half an hour to two; close to saturation it takes many minutes to fill."""
MOST_ARRIVALS = 400_000
"""Most requests of that."""
ROUNDS = 6
"""How often the seats of a replica are taken in a run whose number of requests is not stated."""
MOST_HELD = 10_000_000
"""Requests of a case that are held in memory at most: no published run has a hundredth of them."""
JITTER = 0.5
"""Coefficient of variation of the gaps between an online run's requests, which workers send a little early or late: 1
would be Poisson, 0 a metronome. E2E p90 and p99 of 13 runs lie between the two; means hardly depend on it."""


@dataclass(frozen=True)
class Outcome:
    """What a client would have measured."""

    seconds: dict[str, Floats]
    """ttft_s, e2e_s and tpot_s of the finished requests."""
    stage: NDArray[np.int64]
    """Index of each request's stage."""
    outputs: NDArray[np.int64]
    prompts: NDArray[np.int64]
    makespan_s: float
    users: int
    itl_s: float
    """Mean of all inter-token latencies [s]."""
    causes: dict[str, float]
    """Seconds in steps by cause: compute_s, memory_s, network_s, launch_s."""
    more: float = 1.0
    """Replicas of the case over those that were served, where some stand for all."""
    token_p50_s: float = 0.0
    """Median time of single tokens of a batch, where compiled lengths of the context make it differ from the mean [s]."""

    @property
    def dominant(self) -> str:
        """What took most of the time in steps."""
        return max(self.causes, key=lambda cause: self.causes[cause]).removesuffix("_s")


def resimulate(case: Case) -> Outcome:
    """Serve a case to its last request; CannotSay if the model does not fit or the layout is impossible."""
    tables = price(case)
    requests, outputs, names, stage = arrivals(case, tables)
    pool = loop_cost(case, tables)
    if case.prefill_replicas and case.load.kind not in LOOPS:
        raise CannotSay(
            f"prefill and decode on pools of their own are re-simulated as closed loops, not as {case.load.kind}"
        )
    few = served_replicas(case, tables)
    if case.load.kind in LOOPS:
        pools, replicas = [pool], [case.replicas]
        if case.prefill_replicas:
            pools = apart(loop_cost(case, price(prefilling(case))), pool, tables.memory.kv_bytes_per_token)
            replicas = [case.prefill_replicas, case.replicas]
        shape = polled(case.polls_every, pool.batching == "chunked_prefill") if case.polls_every > 1 else None
        pools = [replace(pool, batching="own") for pool in pools] if shape else pools
        outcomes, tally = serve_users(pools, requests, outputs, max(1, case.load.users), replicas, shape)
    else:
        outcomes, tally = serve(pool, requests, outputs, names, few)
    if (outcomes["status"] != FINISHED).any():
        raise CannotSay("some requests are longer than the context or the KV cache")
    return replace(_measured(case, tables, outcomes, tally, stage), more=case.replicas / few)


def prefilling(case: Case) -> Case:
    """The case in the layout of the replicas that only prefill."""
    if case.prefill_layout is None:
        return case
    tensor, expert, attention_data = case.prefill_layout
    return replace(case, tensor=tensor, expert=expert, attention_data=attention_data)


def price(case: Case) -> CostTables:
    """Cost tables of the deployment, sized for its load."""
    load, engine = case.load, case.engine
    seqs = math.ceil(case.slots / case.replicas) if case.slots else case.max_num_seqs or engine.max_num_seqs
    tokens = case.max_num_batched_tokens or engine.max_num_batched_tokens
    blocks = case.blocks
    if load.kind in ("fixed_batch", "single_stream"):
        seqs = max(1, math.ceil(load.users / case.replicas)) * load.beams
        tokens = max(tokens, min(LONGEST_STEP, math.ceil(seqs * load.prompt)), seqs)
    elif load.kind == "closed_loop" and not case.prefill_replicas:
        seqs = min(seqs, max(1, math.ceil(load.users / case.replicas)))
    tokens = max(tokens, seqs * (1 + len(case.drafts)))
    if load.kind in ("fixed_batch", "single_stream"):
        engine = compiled_for(engine, seqs, min(tokens, math.ceil(seqs * load.prompt)))
    if case.slots is not None:
        engine = with_slots(engine, math.ceil(case.slots / case.replicas), case.slot_tokens)
        tokens = max(tokens, *engine.sequence_buckets)
    layout = Parallelism(
        tensor=case.tensor, pipeline=case.pipeline, expert=case.expert, attention_data=case.attention_data,
        chips=case.chips,
    )  # fmt: skip

    def tables_of(model: Model, width: int, blocks: int | None) -> CostTables:
        return build_tables(
            model, case.hardware, engine, layout, case.weights, case.kv_cache, seqs * width, max(tokens, seqs * width),  # type: ignore[arg-type]
            case.block_size or engine.block_size, blocks, case.measured,
        )  # fmt: skip

    def build(blocks: int | None) -> CostTables:
        plain = tables_of(case.model, 1, blocks)
        if not case.drafts:
            return plain
        wide, draft = tables_of(case.model, 1 + len(case.drafts), 1), tables_of(prediction_layer(case.model), 1, 1)
        return speculative(plain, wide, draft, len(case.drafts), blocks)

    try:
        tables = build(None if blocks is None else 1)
        if blocks is not None:  # the engine said that so many fit
            return replace(tables, memory=replace(tables.memory, blocks=blocks))
        if load.kind in ("fixed_batch", "single_stream") and (seqs == 1 or not waits(case, tables)):
            needed = seqs * math.ceil((load.prompt + load.output) / tables.memory.block_size + 1)
            tables = replace(tables, memory=replace(tables.memory, blocks=max(tables.memory.blocks, needed)))
        return tables
    except ValueError as error:  # DoesNotFit among them
        raise CannotSay(str(error)) from error


def compiled_for(engine: Engine, seqs: int, prompt_tokens: int) -> Engine:
    """An engine that pads to compiled shapes, with the shapes of one batch among them: it was compiled for it."""
    shapes = {"sequence_buckets": {seqs}, "token_buckets": {seqs, prompt_tokens}}
    known = {key: sorted({*getattr(engine, key), *own}) for key, own in shapes.items() if getattr(engine, key)}
    return engine.model_copy(update=known)


def with_slots(engine: Engine, slots: int, slot_tokens: int | None) -> Engine:
    """An engine whose decode steps were compiled for `slots` sequences and no fewer."""
    sizes = [slots, *(size for size in engine.token_buckets if size > slots)]
    return engine.model_copy(update={"sequence_buckets": [slots], "token_buckets": sizes, "slot_tokens": slot_tokens})


def median_token_s(case: Case, tables: CostTables) -> float:
    """Median time of a token of a batch whose contexts are alike and padded to compiled lengths [s]; 0 without such.

    Half of the tokens of a long answer lie in its largest lengths, so that it is above the mean.
    """
    load, sizes = case.load, sorted(case.engine.context_buckets)
    if not sizes or load.kind not in ("fixed_batch", "single_stream"):
        return 0.0
    batch = math.ceil(load.users / case.replicas)
    median = load.prompt + load.output / 2.0
    padded = next((size for size in sizes if size >= median), sizes[-1])
    return tables.step_s(batch, batch, batch, batch * padded / padding(sizes), [])


def waits(case: Case, tables: CostTables) -> bool:
    """Whether part of a fixed batch waits for room: an engine that batches continuously serves any batch, one that does
    not was given one that fitted, whatever the plan's reserve."""
    needed = case.load.users / case.replicas * (case.load.prompt + case.load.output)
    return case.engine.batching != "static" and needed > 1.1 * tables.memory.blocks * tables.memory.block_size


def loop_cost(case: Case, tables: CostTables) -> PoolCost:
    """The times of the tables as the loop takes them, with the case's batching and prefix cache."""
    from infersim.simulate import pool_cost

    watermark = round((case.engine.watermark or 0.0) * tables.memory.blocks)
    promises = (case.admission or case.engine.admission) == "promised"
    pool = replace(pool_cost(tables), batching=case.engine.batching, watermark_blocks=watermark, promises=promises)
    if case.load.kind == "fixed_batch":
        pool = replace(pool, batching=pool.batching if waits(case, tables) else "static", async_scheduling=False)
    if case.drafts:
        prompts = np.zeros(0) if tables.prompts is None else tables.prompts.seconds
        pool = replace(pool, acceptance=case.drafts, prompts_s=prompts)
    if case.prefix_caching:
        pool = replace(pool, prefix_tokens=tables.memory.block_size)
    return replace(pool, max_context=1 << 40)  # what was measured fitted


def serve(
    pool: PoolCost,
    requests: NDArray,
    outputs: NDArray[np.int64],
    names: NDArray[np.int64],
    replicas: int,
) -> tuple[NDArray, Tally]:
    """Run to the last request on `replicas` replicas; return the outcomes by id, and the shapes that were run."""
    from infersim.policies.routing import ROUTERS

    fleet = Fleet([pool], [(requests, outputs, names)], ROUTERS["least_outstanding"].compiled)
    for _ in range(replicas):
        fleet.open(0)
    fleet.advance(math.inf)
    return fleet.outcomes(), fleet.tally(0)


# ---------------------------------------------------------------- requests


def arrivals(case: Case, tables: CostTables) -> Arrivals:
    """(requests, output lengths, names of prefix blocks, stage of each request); CannotSay for more than can be held."""
    load = case.load
    many = max(load.users, len(load.trace), sum(rate * seconds for _, rate, seconds in load.stages))
    if max(many, load.systems * load.conversations * load.prompt / tables.memory.block_size) > MOST_HELD:
        raise CannotSay(f"more than {MOST_HELD:,} requests, users or prefix blocks")
    if load.kind == "online":
        return _online_requests(load, tables.memory.block_size)
    if load.kind == "requests":
        times, prompts, outputs = (np.array(column) for column in zip(*load.trace, strict=True))
        return _requests(times.astype(float), prompts), outputs.astype(np.int64), _NO_NAMES, np.zeros(len(times), int)
    count = _how_many(case, tables)
    prompts, outputs = lengths(load, count)
    times = np.zeros(count)
    if load.kind == "server":
        times = np.cumsum(np.random.default_rng(1).exponential(1.0 / load.rate_rps, count))
    if load.kind in LOOPS:
        times = first_come(case, tables, prompts)
    requests = _requests(times, prompts)
    requests["forks"] = load.beams - 1
    return requests, outputs, _NO_NAMES, np.zeros(count, np.int64)


_NO_NAMES = np.zeros(0, np.int64)


def first_come(case: Case, tables: CostTables, prompts: NDArray[np.int64]) -> Floats:
    """When the front end begins with the first requests of a closed loop [s]: its users all send at the beginning, and it
    takes one request after the other. Later ones come when a user is free."""
    sent = sending(case, len(prompts))
    if case.prefill_replicas:
        return sent
    handled = tables.request_overhead_s + tables.token_overhead_s * prompts
    users = max(1, case.load.users)
    queued = np.maximum(np.cumsum(handled[:users]) / case.replicas, sent[:users] + handled[:users])
    first = np.maximum.accumulate(np.maximum(queued, case.load.cold_s) - handled[:users])
    return np.append(first, sent[users:])


def sending(case: Case, count: int) -> Floats:
    """When the users of a closed loop send their first requests [s], of which `count` are wanted."""
    return np.minimum(np.arange(count), case.load.users) * SENDING_S


def _how_many(case: Case, tables: CostTables) -> int:
    """Enough requests for a steady state, or as many as the source used."""
    load = case.load
    if load.kind in ("fixed_batch", "single_stream"):
        return max(1, load.users) if load.kind == "fixed_batch" else 4
    if load.kind == "server":
        return load.requests or int(np.clip(load.rate_rps * SERVED_S, 1000, MOST_ARRIVALS))
    if load.kind == "closed_loop":
        return min(load.requests or max(20, 6 * load.users), max(MOST_REQUESTS, 2 * load.users))
    few = served_replicas(case, tables)
    if load.requests:
        return min(math.ceil(load.requests * few / case.replicas), MOST_REQUESTS)
    return int(np.clip(rounds(case, tables) * few, 1000, MOST_REQUESTS))


def rounds(case: Case, tables: CostTables) -> float:
    """Requests that fill one replica often enough for a steady state, the end being a small part."""
    room = tables.memory.blocks * tables.memory.block_size / (case.load.prompt + case.load.output)
    return ROUNDS * min(tables.max_num_seqs, room)


def served_replicas(case: Case, tables: CostTables) -> int:
    """Replicas to serve: where all requests are there at once each is as good as any other, and as many as can be filled do."""
    if case.load.kind != "offline_throughput":
        return case.replicas
    each = case.load.requests / case.replicas or rounds(case, tables)
    return int(np.clip(MOST_REQUESTS // each, 1, case.replicas))


def lengths(load: Load, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prompts and outputs: fixed, or lognormal of the given mean and variation in a shuffled order."""
    if load.varied == 0.0 or load.kind in ("fixed_batch", "single_stream"):
        return np.full(count, max(1, round(load.prompt))), np.full(count, max(1, round(load.output)))
    rng, sigma = np.random.default_rng(0), math.sqrt(math.log1p(load.varied**2))
    drawn = []
    for mean, most in ((load.prompt, 0), (load.output, load.longest)):
        values = np.exp(sigma * rng.standard_normal(count))
        for _ in range(20 if most else 1):  # what the limit cuts off raises the rest until the mean is right
            values *= mean / values.mean()
            values = np.minimum(values, most) if most else values
        drawn.append(np.maximum(1, np.rint(values)).astype(np.int64))
    return drawn[0], drawn[1]


def _requests(times: Floats, prompts: NDArray[np.int64]) -> NDArray:
    requests = np.zeros(len(times), REQUEST)
    requests["id"] = np.arange(len(times))
    requests["arrival_s"], requests["input_tokens"], requests["session"] = times, prompts, NONE
    return requests


def _online_requests(load: Load, block: int) -> Arrivals:
    """Requests at nearly even distances, conversations taking turns; each repeats its own prompt."""
    rng = np.random.default_rng(0)
    times, stage, start = [], [], 0.0
    for index, (_, rate, seconds) in enumerate(load.stages):
        count = round(rate * seconds)
        gaps = rng.gamma(JITTER**-2, JITTER**2 / rate, count)
        times.append(start + np.cumsum(gaps))
        stage.append(np.full(count, index))
        start = max(start + seconds, float(times[-1][-1])) + STAGE_GAP_S
    arrival = np.concatenate(times)
    prompts = load.systems * load.conversations
    blocks, shared = int(load.prompt) // block, load.system_tokens // block
    names = np.arange(prompts * blocks, dtype=np.int64).reshape(prompts, blocks) + prompts * blocks
    names[:, :shared] = (np.arange(prompts) % load.systems)[:, None] * shared + np.arange(shared)
    requests = _requests(arrival, np.full(len(arrival), int(load.prompt)))
    requests["prefix_start"] = (np.arange(len(arrival)) % prompts) * blocks
    requests["prefix_blocks"] = blocks
    return requests, np.full(len(arrival), int(load.output)), names.ravel(), np.concatenate(stage)


# ---------------------------------------------------------------- what is measured


def _measured(case: Case, tables: CostTables, outcomes: NDArray, tally: Tally, stage: NDArray[np.int64]) -> Outcome:
    from infersim.cost.energy import usage

    load = case.load
    begun = outcomes["arrival_s"].copy()
    users = min(load.users or len(outcomes), len(outcomes))
    if load.kind in LOOPS:
        begun[:users] = sending(case, len(begun))[:users]
    ttft = outcomes["first_token_s"] - begun
    e2e = outcomes["finish_s"] - begun
    if load.kind == "fixed_batch":  # its latency is that of the last, where part of it waited for room
        e2e = np.full_like(e2e, e2e.max())
    tokens = outcomes["output_tokens"]
    gaps = np.maximum(tokens - 1, 1)
    used = usage(tables, tally)
    makespan = float(outcomes["finish_s"].max() - begun.min())
    if load.kind == "server":
        makespan *= _steady_share(outcomes, tokens, makespan)
    return Outcome(
        seconds={"ttft_s": ttft, "e2e_s": e2e, "tpot_s": (e2e - ttft) / gaps},
        stage=stage,
        outputs=tokens,
        prompts=outcomes["input_tokens"],
        makespan_s=makespan,
        users=users,
        itl_s=float((e2e - ttft).sum() / gaps.sum()),
        causes={cause: float(getattr(used, cause)) for cause in CAUSES},
        token_p50_s=median_token_s(case, tables),
    )


def _steady_share(outcomes: NDArray, tokens: NDArray[np.int64], makespan: float) -> float:
    """What a server's makespan would be, had all of it the pace of its steady part, as a share of what it is: runs of
    hours hardly see how they fill and drain, which for long answers takes minutes."""
    last = float(outcomes["arrival_s"].max())
    first = outcomes["arrival_s"].min() + FILLED * (last - outcomes["arrival_s"].min())
    inside = (outcomes["finish_s"] > first) & (outcomes["finish_s"] <= last)
    pace = tokens[inside].sum() / (last - first) if last > first else 0.0
    return min(1.0, float(tokens.sum() / pace / makespan)) if pace > 0 else 1.0


def predict(case: Case, outcome: Outcome, row: Row) -> float:
    """A row's metric of a served case in its own unit; CannotSay for a metric that has no meaning there."""
    waited = case.public_ttft_ms.get(row.statistic)
    if waited is not None and (row.metric == "e2e_ms" or row.every_token):
        e2e = waited + predicted(case, outcome, "tpot_ms", "mean") * float(outcome.outputs.mean() - 1.0)
    elif row.every_token:
        e2e = predicted(case, outcome, "e2e_ms", row.statistic)
    else:
        if outcome.token_p50_s and (row.metric, row.statistic) == ("tpot_ms", "p50"):
            return 1e3 * outcome.token_p50_s
        found = predicted(case, outcome, row.metric, row.statistic, row.stage)
        return found if row.gaps is None else found * (case.load.output - 1.0) / row.gaps
    return e2e / float(outcome.outputs.mean()) if row.every_token else e2e


def predicted(case: Case, outcome: Outcome, metric: str, name: str, stage: str = "all") -> float:
    """One metric of a served case in its own unit; CannotSay for a metric that has no meaning there."""
    chosen = np.ones(len(outcome.outputs), bool)
    if stage != "all":
        chosen = outcome.stage == [s for s, _, _ in case.load.stages].index(stage)
    elif case.load.kind == "server":
        chosen = np.arange(len(chosen)) >= STEADY * len(chosen)
    elif case.load.kind == "closed_loop" and len(chosen) > 2 * outcome.users and not case.load.ramp_counts:
        chosen = np.arange(len(chosen)) >= outcome.users
    if metric in ("output_tok_s", "total_tok_s", "req_s"):
        counted = {"output_tok_s": outcome.outputs, "total_tok_s": outcome.outputs + outcome.prompts}
        amount = counted[metric].sum() if metric != "req_s" else len(outcome.outputs)
        return float(amount / outcome.makespan_s * outcome.more)
    spans = {key: values[chosen] for key, values in outcome.seconds.items()}
    if metric == "tok_s_user":
        if case.load.output <= 1.0:
            raise CannotSay("a user's decode rate needs outputs of 2 tokens or more")
        return 1.0 / statistic(spans["tpot_s"], name)
    if metric == "itl_ms" and name == "mean":
        gaps = np.maximum(outcome.outputs[chosen] - 1, 1)
        return 1e3 * float((spans["e2e_s"] - spans["ttft_s"]).sum() / gaps.sum())
    key = {"itl_ms": "tpot_s"}.get(metric, metric.replace("_ms", "_s"))
    if key not in spans:
        raise CannotSay(f"metric {metric} is not known")
    return 1e3 * statistic(spans[key], name)


def statistic(values: Sequence[float] | Floats, name: str) -> float:
    """mean, or a percentile such as p99."""
    return float(np.mean(values)) if name == "mean" else float(np.percentile(values, float(name[1:])))
