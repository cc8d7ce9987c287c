"""One case of measurements served by the compiled fleet: its tables, its pools, and what came of it.

Offline: all requests at time 0. A fixed batch: the same with static batching. A closed loop of N users: each sends its next
request when the one before has ended (`users.py`). A server, an online run, single requests: as they come (`arrivals.py`).
Not here: reading tables (`measurements.py`), metrics (`outcomes.py`), errors (`validation.py`).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost.build import build_tables
from infersim.cost.speculation import speculative
from infersim.cost.tables import CostTables
from infersim.dataplane.fleet import Fleet, PoolCost
from infersim.dataplane.records import FINISHED
from infersim.dataplane.tally import Tally
from infersim.spec.engine import Engine
from infersim.spec.model import Model, prediction_layer
from infersim.spec.pool import Parallelism
from infersim.studies.arrivals import LOOPS, arrivals, served_replicas
from infersim.studies.cases import CannotSay, Case
from infersim.studies.outcomes import Outcome, measured
from infersim.studies.polling import polled
from infersim.studies.users import apart, serve_users

LONGEST_STEP = 16_384
"""Most prompt tokens in a step of a static batch."""


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
    return replace(measured(case, tables, outcomes, tally, stage), more=case.replicas / few)


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
        pool = replace(pool, acceptance=case.drafts)
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
