"""Random cases that visit the corners: little KV, tiny budgets, bursts at one instant, replicas that come and go,
prompts processed in one pool and answers in another, draft tokens.

Every float is generic, so nothing coincides but what is meant to: bursts, and control actions at an arrival.
Not here: what must hold of them (`test_twin.py`).
"""

import math
from dataclasses import replace

import numpy as np

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.records import FINISHED, REQUEST, SEQUEL, UNANSWERED
from infersim.dataplane.rules import ClientRules
from tests.naive_routing import ROUTERS
from tests.twin.case import Case, Source

STEP_S = 0.01
"""Typical time of a step [s]."""
SCENARIOS = 1600
"""Seeds below are compared with the twin; those from there on are for other tests."""
TENANTS = 3
UNLESS = [0, 0, UNANSWERED, 1 << FINISHED]
"""For which endings of others a request is not sent."""
ORDERS = {
    "fcfs": 0.2,
    "priority": 0.25,
    "shortest_job": 0.1,
    "shortest_predicted": 0.1,
    "earliest_deadline": 0.1,
    "fair_share": 0.25,
}
FULL_AND_WINDOW = [(1, 0)] * 8 + [(0, 0), (0, 1), (1, 1), (2, 3)]


def random_case(seed: int, most: int = 40) -> Case:
    """A case of up to `most` requests; the same for the same seed."""
    rng = np.random.default_rng(seed)
    prefix_tokens = int(rng.choice([0, 0, 2, 4, 6, 12]))
    pools = [random_pool(rng, prefix_tokens) for _ in range(rng.integers(1, 4))]
    if rng.random() < 0.3:
        pools = split(rng, [*pools, random_pool(rng, prefix_tokens)])
    count = int(rng.integers(1, most, endpoint=True))
    requests, outputs = random_requests(rng, count)
    if not any(pool.acceptance for pool in pools):
        requests["forks"] = rng.integers(4, size=count) * (rng.random(count) < rng.choice([0, 0, 0.3]))
    names = random_prefixes(rng, requests, prefix_tokens) if prefix_tokens else np.zeros(0, np.int64)
    router = str(rng.choice(["round_robin", "least_outstanding"]))
    initial = rng.integers(len(pools), size=rng.integers(0, 3 + len(pools))).tolist()
    actions = random_actions(rng, requests["arrival_s"], pools, initial)
    impatient = {}
    if rng.random() < 0.5:
        impatient["clients"] = [random_client(rng) for _ in range(TENANTS)]
        impatient["max_queued"] = None if rng.random() < 0.5 else int(rng.choice([3, 10]))
        impatient["max_wait_s"] = float(rng.choice([rng.exponential(10 * STEP_S), math.inf]))
    case = Case(pools, requests, outputs, router, initial, actions, names, **impatient)
    case = with_sequels(rng, case) if rng.random() < 0.4 else case
    case = with_own(rng, case) if rng.random() < 0.2 else case
    case = with_adapters(rng, case) if rng.random() < 0.3 else case
    case = with_regions(rng, case) if rng.random() < 0.3 else case
    case = with_router(rng, case) if rng.random() < 0.8 else case
    return with_models(rng, case) if rng.random() < 0.3 else case


def with_router(rng: np.random.Generator, case: Case) -> Case:
    """The case with another router, and now and then one that knows what was true a while ago; sessions and weather for it."""
    pools = [replace(pool, usd_per_hour=float(rng.integers(3))) for pool in case.pools]
    scrape_s = float(rng.choice([0, STEP_S * rng.exponential(10)]))
    router, sessions = str(rng.choice(["round_robin", *ROUTERS])), int(rng.integers(1, 6))

    def talking(requests: np.ndarray) -> np.ndarray:
        rows = requests.copy()
        rows["session"] = rng.integers(-1, sessions, size=len(rows))
        return rows

    times = np.sort(rng.uniform(0, case.requests["arrival_s"][-1], size=rng.integers(4))).tolist()
    weather = [(time, "weather", number) for number, time in enumerate(times, start=1)]
    return replace(
        case,
        pools=pools,
        router=router,
        scrape_s=scrape_s,
        requests=talking(case.requests),
        sources=[replace(source, requests=talking(source.requests)) for source in case.sources],
        actions=sorted([*case.actions, *weather], key=lambda action: action[0]),
    )


def with_adapters(rng: np.random.Generator, case: Case) -> Case:
    """The case with adapters, more of them than slots or fewer, that now their tokens bound and now reading them."""
    ranks, plain = rng.choice([1, 4, 16], size=rng.integers(1, 7)), rng.choice([0.0, 0.3])

    def tuned(requests: np.ndarray) -> np.ndarray:
        rows, adapters = requests.copy(), rng.integers(len(ranks), size=len(requests))
        rows["adapter"], rows["adapter_rank"] = 1 + adapters, ranks[adapters]
        rows[["adapter", "adapter_rank"]][rng.random(len(rows)) < plain] = 0
        return rows

    pools = [
        replace(
            pool,
            queue_order="fcfs" if pool.queue_order == "fair_share" else pool.queue_order,
            adapter_slots=int(rng.choice([0, 1, 2, 4], p=[0.1, 0.3, 0.3, 0.3])),
            adapter_rank_s=STEP_S * float(rng.choice([0, 0.1 * rng.random()])),
            adapter_step_s=STEP_S * 0.1 * rng.random(),
            adapter_read_s=STEP_S * float(rng.choice([0, rng.random()])),
            adapter_token_s=STEP_S * 0.2 * rng.random(),
        )
        for pool in case.pools
    ]
    sources = [replace(source, requests=tuned(source.requests)) for source in case.sources]
    return replace(case, pools=pools, requests=tuned(case.requests), sources=sources)


def with_models(rng: np.random.Generator, case: Case) -> Case:
    """The case with several models, if no pool has a role: one pool serves all of them, others some, or one."""
    if any(pool.role != "both" for pool in case.pools):
        return case
    count, skew = int(rng.integers(2, 5)), rng.choice([0, 2])
    chances = np.arange(1.0, count + 1) ** -skew

    def asked(requests: np.ndarray) -> np.ndarray:
        rows = requests.copy()
        rows["model"] = rng.choice(count, size=len(rows), p=chances / chances.sum())
        return rows

    pools = [
        with_others(rng, pool, rng.permutation(count)[: count if index == 0 else rng.integers(1, count + 1)].tolist())
        for index, pool in enumerate(case.pools)
    ]
    sources = [replace(source, requests=asked(source.requests)) for source in case.sources]
    last = max([0.0, *(time for time, _, _ in case.actions)])
    actions = [*case.actions, (last, "open", 0)]  # so that nobody is held for ever
    return replace(case, pools=pools, requests=asked(case.requests), sources=sources, actions=actions)


def with_others(rng: np.random.Generator, pool: PoolCost, models: list[int]) -> PoolCost:
    """The pool with these models; each of several is slower or faster than the pool was, and has more or fewer blocks."""
    if len(models) == 1:
        return replace(pool, model=models[0])
    sizes = rng.integers(1, 10, size=len(models)).tolist()
    pool = replace(
        pool,
        acceptance=(),
        adapter_slots=0,
        queue_order="fcfs" if pool.queue_order == "fair_share" else pool.queue_order,
        switch_s=STEP_S * float(rng.choice([0, rng.random()])),
        turn_s=STEP_S * float(rng.choice([0, rng.exponential(5), rng.exponential(50)])),
        model_bytes=int(max(sizes) + rng.choice([0, rng.integers(15)])),
        eviction=str(rng.choice(["lru", "cost_aware"])),
    )
    first, *others = (
        replace(
            pool,
            model=model,
            weight_bytes=size,
            load_s=STEP_S * float(rng.choice([0, 1, 10])) * rng.random(),
            linear_s=pool.linear_s * rng.uniform(0.5, 2),
            decode_per_context_s=pool.decode_per_context_s * rng.uniform(0.5, 2),
            request_overhead_s=pool.request_overhead_s * float(rng.choice([1, 2])),
            blocks=pool.blocks // int(rng.choice([1, 2])),
            max_context=int(rng.choice([40, 1000])),
        )
        for model, size in zip(models, sizes, strict=True)
    )
    return replace(first, others=tuple(others))


def with_regions(rng: np.random.Generator, case: Case) -> Case:
    """The case with pools that are far from some classes, and pools that take some requests only."""
    far = 2 * STEP_S * rng.random((len(case.pools), TENANTS)) * (rng.random((len(case.pools), TENANTS)) < 0.7)
    apart, choosy = rng.random() < 0.7, rng.choice([0.0, 0.6])
    most = float(case.requests["input_tokens"].max())
    pools = []
    for pool, network_s in zip(case.pools, far.tolist(), strict=True):
        limits: dict = {"network_s": tuple(network_s)} if apart else {}
        if pool.role != "decode" and rng.random() < choosy:
            limits["takes"] = tuple((rng.random(TENANTS) < 0.7).tolist())
        if pool.role != "decode" and rng.random() < choosy:
            shortest, longest = np.sort(rng.uniform(0, 1.3 * most, size=2)).astype(int).tolist()
            limits |= {"min_input_tokens": 1 + shortest, "max_input_tokens": 1 + longest}
        pools.append(replace(pool, **limits))
    return replace(case, pools=pools, router="nearest" if apart and rng.random() < 0.4 else case.router)


def with_own(rng: np.random.Generator, case: Case) -> Case:
    """The case with a user's queue order or batching policy in some pools."""
    pools = []
    for pool in case.pools:
        if pool.role != "decode" and rng.random() < 0.6:
            pool = replace(pool, batching="own", swap=False)
        pools.append(replace(pool, queue_order="own") if rng.random() < 0.4 else pool)
    return replace(case, pools=pools)


def with_sequels(rng: np.random.Generator, case: Case) -> Case:
    """The case with some of its requests following others, and some sent by users who send more when they are served."""
    count, sources = len(case.requests), int(rng.integers(3))
    requests, sequels, chained = case.requests.copy(), np.zeros(count, SEQUEL), rng.choice([0.0, 0.3, 0.8])
    joined: set[int] = set()
    begin = 0  # of the chain
    for row, sequel in enumerate(sequels):
        sequel["source"] = rng.integers(-1, sources)
        if row == 0 or rng.random() >= chained:
            begin, sequel["after"] = row, -1
            continue
        first = int(rng.integers(begin, row))
        joins = int(rng.integers(1, row - first, endpoint=True)) if rng.random() < 0.4 else 1
        several = set(range(first, first + joins)) if joins > 1 else set()
        if several & joined:
            joins, several = 1, set()
        joined |= several
        requests["arrival_s"][row] = requests["arrival_s"][begin]
        sequel["after"], sequel["joins"], sequel["unless"] = first, joins, rng.choice(UNLESS)
        sequel["late"] = rng.random() < 0.2
        sequel["gap_s"] = rng.choice([0, rng.exponential(5 * STEP_S)])
    last_arrival_s = float(rng.choice([math.inf, requests["arrival_s"][-1] + rng.exponential(20 * STEP_S)]))
    users = [random_source(rng, case, int(rng.integers(20))) for _ in range(sources)]
    begin = count
    for source in users:
        source.requests["id"] = begin + np.arange(len(source.requests))
        begin += len(source.requests)
    return replace(case, requests=requests, sequels=sequels, sources=users, last_arrival_s=last_arrival_s)


def random_source(rng: np.random.Generator, case: Case, count: int) -> Source:
    """What users send, of the same kinds as what the case has; prompts begin like those of the case."""
    alike = rng.integers(len(case.requests), size=count)
    requests, outputs = case.requests[alike], rng.permutation(case.outputs[alike])
    requests["tenant"], requests["arrival_s"] = rng.integers(TENANTS, size=count), 0
    return Source(requests, outputs, rng.choice([0.0, 1.0], size=count) * rng.exponential(5 * STEP_S, size=count))


def random_requests(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Requests without prefixes, and their output tokens."""
    outputs = rng.geometric(1 / rng.choice([2, 8, 25]), size=count)
    if rng.random() < 0.2:
        outputs[rng.integers(count)] = 400  # something long to leap over
    outputs[rng.random(count) < rng.choice([0, 0, 0.3])] = 0
    gaps = rng.exponential(STEP_S * 10 ** rng.uniform(-1, 1.5), size=count)
    gaps[rng.random(count) < rng.choice([0, 0.3, 0.9])] = 0  # bursts at one instant
    if rng.random() < 0.5:
        gaps[0] = 0
    requests = np.zeros(count, REQUEST)
    requests["id"], requests["arrival_s"] = np.arange(count), np.cumsum(gaps)
    requests["input_tokens"] = rng.integers(1, rng.choice([4, 12, 40]), size=count, endpoint=True)
    requests["tenant"] = rng.integers(TENANTS, size=count)
    requests["priority"] = rng.integers(rng.choice([2, 4]), size=count)
    requests["deadline_s"] = rng.choice([0, 10 * STEP_S], size=count) + rng.exponential(STEP_S, size=count)
    return requests, outputs


def random_client(rng: np.random.Generator) -> ClientRules:
    """Some are patient, some come again."""
    return ClientRules(
        timeout_s=float(rng.choice([rng.exponential(20 * STEP_S), math.inf])),
        ttft_timeout_s=float(rng.choice([rng.exponential(10 * STEP_S), math.inf])),
        max_attempts=int(rng.choice([1, 2, 4])),
        backoff_s=float(rng.choice([0, rng.exponential(5 * STEP_S)])),
        multiplier=float(rng.choice([1, 2])),
        max_backoff_s=float(rng.choice([6 * STEP_S, math.inf])),
        jitter=float(rng.choice([0, rng.random()])),
        **rng.choice([{}, {"tokens_per_s": rng.exponential(2 / STEP_S), "burst_tokens": rng.exponential(50)}]),
    )


def random_prefixes(rng: np.random.Generator, requests: np.ndarray, prefix_tokens: int) -> np.ndarray:
    """Names of prompt blocks from a small alphabet, so that prompts share beginnings; the requests are told theirs."""
    letters, unlike = int(rng.integers(1, 4)), rng.uniform(0, 0.7)
    known: dict[tuple[int, ...], int] = {}
    names: list[int] = []
    for request in requests:
        blocks = int(request["input_tokens"]) // prefix_tokens
        if rng.random() < 0.1:
            blocks = int(rng.integers(blocks + 1))  # the rest is anonymous
        text = np.where(rng.random(blocks) < unlike, rng.integers(letters, size=blocks), 0).tolist()
        request["prefix_start"], request["prefix_blocks"] = len(names), blocks
        # A name stands for everything up to the end of its block. Any integer may be one.
        names += [known.setdefault(tuple(text[: n + 1]), int(rng.integers(-(2**62), 2**62))) for n in range(blocks)]
    return np.array(names, np.int64)


def split(rng: np.random.Generator, pools: list[PoolCost]) -> list[PoolCost]:
    """The first pool prefills, the second decodes, the others do something; in any order."""
    roles = ["prefill", "decode", *rng.choice(["both", "prefill", "decode"], size=len(pools) - 2).tolist()]
    slow = rng.choice([0.01, 0.1, 1])  # a transfer takes time, if little
    pools = [
        replace(
            pool,
            role=role,
            window_blocks=0,
            full_blocks=1,
            batching="chunked_prefill" if role == "decode" else pool.batching,
            transfer_token_s=slow * STEP_S * rng.uniform(0, 1) * float(role == "prefill"),
            transfer_latency_s=slow * STEP_S * rng.uniform(0, 1) * float(role == "prefill" and rng.random() < 0.7),
        )
        for pool, role in zip(pools, roles, strict=True)
    ]
    return [pools[index] for index in rng.permutation(len(pools))]


def random_pool(rng: np.random.Generator, prefix_tokens: int = 0) -> PoolCost:
    max_num_seqs = int(rng.choice([1, 2, 3, 5, 8, 20]))
    drafts = int(rng.choice([0, 1, 2, 4], p=[0.7, 0.1, 0.1, 0.1]))
    budget = max_num_seqs * (1 + drafts) + int(rng.choice([0, 1, 4, 30, 100]))
    sizes = [size for size in (1, 2, 3, 4, 6, 12, 16) if not prefix_tokens or prefix_tokens % size == 0]
    block_size = int(rng.choice(sizes))
    tokens_of_kv = int(rng.choice([30, 60, 100, 600]))
    batching = str(rng.choice(["chunked_prefill", "prefill_first", "static", "dynamic"], p=[0.4, 0.2, 0.2, 0.2]))
    full_blocks, window_blocks = FULL_AND_WINDOW[rng.choice(len(FULL_AND_WINDOW))]
    if prefix_tokens := prefix_tokens if rng.random() < 0.8 else 0:
        full_blocks, window_blocks = 1, 0

    def table(length: int, floor_s: float) -> np.ndarray:
        """Increasing from about floor_s to a few times it."""
        rise = rng.exponential(floor_s * rng.uniform(0, 3) / length, size=length)
        return floor_s * rng.uniform(0.2, 1) + np.cumsum(rise)

    front_end = rng.choice([0, 0, 1, 1, 3])
    return PoolCost(
        linear_s=table(budget + 1, STEP_S),
        sequences_s=table(max_num_seqs + 1, STEP_S / 4),
        decode_base_s=table(max_num_seqs + 1, STEP_S / 10),
        decode_per_context_s=table(max_num_seqs + 1, STEP_S / 200),
        prefill_chunk_s=STEP_S * rng.uniform(0, 0.1),
        prefill_per_pair_s=STEP_S * rng.uniform(0, 0.01),
        prefill_per_context_s=STEP_S * rng.uniform(0, 0.05),
        request_overhead_s=front_end * STEP_S * rng.uniform(0, 1),
        token_overhead_s=front_end * STEP_S * rng.uniform(0, 0.1) * float(rng.random() < 0.5),
        block_size=block_size,
        blocks=-(-tokens_of_kv // block_size) * (full_blocks + window_blocks),
        full_blocks=full_blocks,
        window_blocks=window_blocks,
        window_tokens=int(rng.integers(1, 20)),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=budget,
        max_context=int(rng.choice([40, 1000])),
        async_scheduling=bool(rng.random() < 0.5),
        batching=batching,
        max_queue_delay_s=STEP_S * float(rng.choice([0, rng.exponential(), rng.exponential(20)])),
        queue_order=str(rng.choice(list(ORDERS), p=list(ORDERS.values()))),
        prediction_sigma=float(rng.choice([0, 1])),
        input_weight=int(rng.integers(3)),
        output_weight=int(rng.integers(4)),
        watermark_blocks=int(rng.choice([0, 0, 1, 3])),
        swap=batching == "chunked_prefill" and bool(rng.random() < 0.5),
        swap_block_s=STEP_S * rng.uniform(0, 0.3),
        prefix_tokens=prefix_tokens,
        host_entries=int(rng.choice([0, 2, 6])) if prefix_tokens else 0,
        prompts_s=table(budget + 1, STEP_S / 4) if rng.random() < 0.2 else np.zeros(0),
        mixed_s=mixed_table(budget + 1, rng.spawn(1)[0]),
        promises=bool(rng.spawn(1)[0].random() < 0.15),
        max_queued=4 if rng.random() < 0.1 else None,
        max_queued_work_s=float(rng.choice([2 * STEP_S, math.inf], p=[0.1, 0.9])),
        acceptance=tuple(rng.choice([0.0, 1.0, rng.random(), rng.random()], size=drafts).tolist()),
    )


def mixed_table(length: int, rng: np.random.Generator) -> np.ndarray:
    """What steps with prompts cost more, in a third of the cases; from a stream of its own."""
    return STEP_S * rng.uniform(0, 1, length) if rng.random() < 0.3 else np.zeros(0)


def busy_case(seed: int, router: str = "least_outstanding") -> Case:
    """A case of the size of a real engine: long leaps, batches of dozens, KV that runs out now and then."""
    rng = np.random.default_rng(seed)
    count = 400
    slots = 48
    own = random_pool(rng)
    pool = replace(
        own,
        acceptance=(),
        prompts_s=STEP_S * 0.01 * np.cumsum(rng.uniform(0, 1, 513)) if len(own.prompts_s) else (),
        mixed_s=mixed_table(513, rng.spawn(1)[0]),
        max_queued=None,
        max_queued_work_s=math.inf,
        linear_s=STEP_S * (1 + 0.01 * np.cumsum(rng.uniform(0, 1, 513))),
        sequences_s=STEP_S * 0.01 * np.cumsum(rng.uniform(0, 1, slots + 1)),
        decode_base_s=STEP_S * 0.01 * np.cumsum(rng.uniform(0, 1, slots + 1)),
        decode_per_context_s=STEP_S * 1e-5 * (1 + np.cumsum(rng.uniform(0, 0.01, slots + 1))),
        prefill_per_pair_s=STEP_S * 1e-6,
        prefill_per_context_s=STEP_S * 1e-4 * rng.uniform(0, 1),
        block_size=16,
        blocks=int(rng.integers(300, 900)),
        max_num_seqs=slots,
        max_num_batched_tokens=512,
        max_context=2000,
    )
    requests = np.zeros(count, REQUEST)
    requests["id"], requests["arrival_s"] = np.arange(count), np.cumsum(rng.exponential(STEP_S, count))
    requests["input_tokens"] = np.minimum(rng.lognormal(4.5, 1, count).astype(int) + 1, 1500)
    return Case(
        [pool], requests, rng.geometric(1 / 80, count), router, [0, 0], [(requests["arrival_s"][100], "open", 0)]
    )


def random_actions(
    rng: np.random.Generator, arrivals: np.ndarray, pools: list[PoolCost], initial: list[int]
) -> list[tuple[float, str, int]]:
    """Opens and drains; a replica of each role that is needed is ready in the end, so nobody is held for ever."""
    count = int(rng.choice([0, 2, 6]))
    times = rng.uniform(0, arrivals[-1] + 10 * STEP_S, size=count)
    at_an_arrival = rng.random(count) < 0.2
    times[at_an_arrival] = rng.choice(arrivals, size=at_an_arrival.sum())
    actions: list[tuple[float, str, int]] = []
    ready, opened = dict(enumerate(initial)), len(initial)
    for time in np.sort(times).tolist():
        if ready and rng.random() < 0.5:
            verbs = ["drain", "drain", "migrate", "fail", "lose", "slow"]
            serial, verb = int(rng.choice(list(ready))), str(rng.choice(verbs))
            if verb != "slow":
                del ready[serial]
            actions.append((time, verb, serial))
        else:
            ready[opened] = int(rng.integers(len(pools)))
            actions.append((time, "open", ready[opened]))
            opened += 1
    roles = [pool.role for pool in pools]
    for missing in ({"both", "prefill"}, {"decode"}):
        fitting = [index for index, role in enumerate(roles) if role in missing]
        if fitting and not missing & {roles[pool] for pool in ready.values()}:
            last = max(arrivals[-1], *(time for time, _, _ in actions), 0.0)
            actions.append((float(last) + STEP_S * rng.uniform(0, 5), "open", fitting[0]))
    return actions


def without(case: Case, first: int, last: int) -> Case:
    """The case without some requests, the others numbered anew; what followed one of them follows the request before."""
    keep = np.ones(len(case.requests), bool)
    keep[first:last] = False
    requests = case.requests[keep].copy()
    requests["id"] = np.arange(len(requests))
    if case.sequels is None:
        return replace(case, requests=requests, outputs=case.outputs[keep])
    sources, begin = [], len(requests)
    for source in case.sources:
        rows = source.requests.copy()
        rows["id"], begin = begin + np.arange(len(rows)), begin + len(rows)
        sources.append(replace(source, requests=rows))
    sequels, place = case.sequels[keep].copy(), np.cumsum(keep) - 1
    for row, sequel in enumerate(sequels):
        if sequel["after"] < 0:
            continue
        others = range(sequel["after"], sequel["after"] + sequel["joins"])
        if all(keep[other] for other in others):
            sequel["after"] = place[sequel["after"]]
        else:  # a chain of its own begins, unless it stands in one
            sequel["after"], sequel["joins"] = (row - 1, 1) if row else (-1, 0)
    return replace(case, requests=requests, outputs=case.outputs[keep], sequels=sequels, sources=sources)
