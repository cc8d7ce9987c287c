"""What must fit together in a pool: engine and chip, dtypes, layout, batching, price, policies.

Each check yields (key path inside the pool, what was found and what would be right).
Not here: what pydantic sees in one file alone (`translate.py`). Read `resolve.py` for who asks.
"""

from collections.abc import Iterator

from infersim.spec import catalogue
from infersim.spec.autoscalers import Fixed, Oracle, Queueing, Schedule, SloFeedback
from infersim.spec.base import Dtype
from infersim.spec.diffusion import Diffusion
from infersim.spec.engine import Engine
from infersim.spec.errors import KeyPath, nearest
from infersim.spec.hardware import Hardware, Price
from infersim.spec.model import Model
from infersim.spec.policies import AUTOSCALERS, BATCHINGS, QUEUE_ORDERS
from infersim.spec.pool import Parallelism, Pool
from infersim.spec.purchase import PriceChoice
from infersim.spec.scenario import Scenario
from infersim.spec.serving import KvCache
from infersim.spec.workload import Workload

Finding = tuple[KeyPath, str]


def check_engine(hardware: Hardware, engine: Engine) -> Iterator[Finding]:
    """The engine drives chips of this kind and vendor."""
    if not _drives(engine, hardware):
        fitting = [name for name in catalogue.engine_names() if _drives(catalogue.engine(name), hardware)]
        what = f"{engine.name} does not drive {hardware.name} ({hardware.vendor}, {hardware.execution})"
        yield ("engine",), f"{what}; engines that do: {', '.join(fitting) or 'none of the catalogue'}"


def _drives(engine: Engine, hardware: Hardware) -> bool:
    vendors = [vendor.lower() for vendor in engine.vendors]
    return hardware.execution in engine.execution and (not vendors or hardware.vendor.lower() in vendors)


def check_dtype(hardware: Hardware, dtype: Dtype, key: str, given: bool) -> Iterator[Finding]:
    """The chip can use the dtype: it computes in it, or converts it to one that it computes in."""
    if hardware.compute_dtype(dtype):
        return
    native = ", ".join(hardware.efficiency.matmul_compute)
    converted = "".join(f", {stored} (computed in {computed})" for stored, computed in hardware.computes_as.items())
    whose = "" if given else " (the model's own dtype)" if key == "weights" else " (16 bit, the default)"
    yield ("precision", key), f"{hardware.name} cannot use {dtype}{whose}; it has {native}{converted}"


def check_images(pool: Pool, hardware: Hardware) -> Iterator[Finding]:
    """A pool of a diffusion model: whole images on single roofline chips, without anything that has to do with tokens."""
    if hardware.execution != "roofline":
        yield ("hardware",), f"images are modelled on roofline chips, and {hardware.name} is a {hardware.execution}"
    plain = {
        "parallelism": Parallelism(),
        "kv_cache": KvCache(block_size=pool.kv_cache.block_size, admission=pool.kv_cache.admission),
        "speculative": None,
        "lora": None,
    }
    for key, default in (plain | {"role": "both"}).items():
        if getattr(pool, key) != default:
            yield (key,), "does not go with images, each of which is made on one chip and has no KV cache; remove it"
    if pool.cost.source != "analytic":
        yield ("cost", "source"), "images are priced by the analytic model; remove it"


def check_layout(pool: Pool, hardware: Hardware, model: Model, pads_heads: bool = False) -> Iterator[Finding]:
    """The chips of a replica can share the model."""
    layout = pool.parallelism
    path = ("parallelism", "tensor")
    if hardware.execution == "pipeline":
        if layout.tensor != 1 or layout.pipeline != 1:
            key = "tensor" if layout.tensor != 1 else "pipeline"
            what = f"{hardware.name} is an SRAM pipeline, whose layout follows from its number of chips"
            yield ("parallelism", key), f"{what}; remove {key} and give chips"
        return
    if layout.chips is not None:
        what = f"chips is for SRAM pipelines; a replica on {hardware.name} takes tensor x pipeline chips"
        yield ("parallelism", "chips"), f"{what}; remove it and give tensor"
    link = hardware.link
    joined = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
    for name in ("expert", "attention_data"):
        if layout.tensor % getattr(layout, name):
            yield ("parallelism", name), f"found {getattr(layout, name)}; must divide tensor {layout.tensor}"
            return
    if layout.expert > 1 and model.experts is None:
        yield ("parallelism", "expert"), f"{model.name} has no experts; remove expert"
    if not (pads_heads or divides(layout.tensor // layout.attention_data, model)):
        fitting = [str(n) for n in range(1, joined + 1) if divides(n, model)]
        heads, kv_heads = model.attention.heads, model.attention.kv_heads
        what = f"{layout.tensor} chips cannot share {heads} heads and {kv_heads} KV heads of {model.name} evenly"
        yield path, f"{what}; these would: {', '.join(fitting)}"
    elif layout.tensor > joined and (hardware.scale_out is None or joined == 1):
        what = f"{layout.tensor} chips are more than the {joined} that the links of {hardware.name} join"
        yield path, f"{what}; use at most {joined}"
    if layout.pipeline > model.layers:
        what = f"{layout.pipeline} stages are more than the {model.layers} layers of {model.name}"
        yield ("parallelism", "pipeline"), f"{what}; use at most {model.layers}"


def divides(tensor: int, model: Model) -> bool:
    """Whether `tensor` chips can share the heads: whole query heads each, and whole KV heads or whole copies of one."""
    kv_heads = model.attention.kv_heads
    return model.attention.heads % tensor == 0 and (kv_heads % tensor == 0 or tensor % kv_heads == 0)


def limits(pool: Pool, engine: Engine) -> tuple[int, int]:
    """Most sequences and tokens in a step: as stated, or the engine's defaults and then no more sequences than tokens allow."""
    tokens = pool.batching.max_num_batched_tokens or engine.max_num_batched_tokens
    if pool.batching.policy == "none":
        return 1, tokens
    width = 1 + pool.speculative.tokens if pool.speculative else 1
    return pool.batching.max_num_seqs or max(1, min(engine.max_num_seqs, tokens // width)), tokens


def check_batching(pool: Pool, engine: Engine) -> Iterator[Finding]:
    """A step has room for a token of every sequence, and compiled shapes cover what is asked for."""
    seqs, tokens = limits(pool, engine)
    if seqs > tokens:
        what = f"max_num_seqs {seqs} exceeds max_num_batched_tokens {tokens}, so a step could not hold a token of each"
        yield ("batching", "max_num_seqs"), f"{what}; use at most {tokens}"
    for key, asked, shapes in (
        ("max_num_seqs", seqs, engine.sequence_buckets),
        ("max_num_batched_tokens", tokens, engine.token_buckets),
    ):
        if shapes and asked > max(shapes):
            what = f"{asked} is more than the largest shape that {engine.name} compiles"
            yield ("batching", key), f"{what}; use at most {max(shapes)}"


def check_policies(pool: Pool, plugins: list[str]) -> Iterator[Finding]:
    """Batching policy and queue order are known; a plugin may bring others."""
    for path, name, known in (
        (("batching", "policy"), pool.batching.policy, BATCHINGS),
        (("queue", "order"), pool.queue.order, QUEUE_ORDERS),
    ):
        if name is not None and name not in known and not plugins:
            yield path, f"unknown policy {name}; {nearest(name, known)}"


def check_kv_cache(pool: Pool, hardware: Hardware) -> Iterator[Finding]:
    """Blocks can be copied to the host and back where that is asked for."""
    if pool.kv_cache.host_gb is not None and hardware.host_gb_s is None:
        yield (
            ("kv_cache", "host_gb"),
            f"the profile of {hardware.name} has no host_gb_s, the rate to host memory; remove it",
        )
    if pool.kv_cache.preemption == "swap":
        path = ("kv_cache", "preemption")
        if pool.batching.policy not in (None, "chunked_prefill"):
            yield path, f"swap needs batching policy chunked_prefill, found {pool.batching.policy}; use recompute"
        if hardware.host_gb_s is None:
            yield path, f"the profile of {hardware.name} has no host_gb_s, the rate to host memory; use recompute"


def check_speculation(pool: Pool, hardware: Hardware, engine: Engine) -> Iterator[Finding]:
    """A step has room for the draft tokens of every sequence, on chips that can be speculated on."""
    if pool.speculative is None:
        return
    seqs, tokens = limits(pool, engine)
    width = 1 + pool.speculative.tokens
    if pool.batching.policy != "none" and seqs * width > tokens:
        what = f"{seqs} sequences with {width} tokens each exceed max_num_batched_tokens {tokens}"
        most = tokens // seqs - 1
        advice = (
            f"use at most {most}, or fewer max_num_seqs" if most > 0 else f"use at most {tokens // width} max_num_seqs"
        )
        yield ("speculative", "tokens"), f"{what}; {advice}"
    if hardware.execution != "roofline":
        what = f"speculation is modelled on roofline chips, and {hardware.name} is a {hardware.execution}"
        yield ("speculative",), f"{what}; remove it"


PADDING = 512
"""Rows by which vocabularies of one tokenizer may differ: embeddings are padded."""


def check_draft(draft: Model | Diffusion, target: Model | Diffusion) -> Iterator[Finding]:
    """A draft model speaks the tokens of the model that verifies them."""
    path = ("speculative", "model")
    if isinstance(draft, Diffusion):
        yield path, f"{draft.name} makes images; name a language model"
    elif not isinstance(target, Diffusion) and abs(draft.vocab_size - target.vocab_size) > PADDING:
        what = f"{draft.name} knows {draft.vocab_size} tokens and {target.name} {target.vocab_size}"
        yield path, f"{what}: its drafts cannot be verified; name a smaller model with the same tokenizer"


def check_kinds(workload: Workload, models: list[Model | Diffusion]) -> Iterator[Finding]:
    """Images are asked of diffusion models, and nothing else is; `models` are those that the classes ask for."""
    for index, (part, model) in enumerate(zip(workload.parts, models, strict=True)):
        images = isinstance(model, Diffusion)
        path = ("workload", "classes", index, "kind") if workload.classes else ("workload", "kind")
        if (part.is_kind == "image") != images:
            makes = "makes images; give kind: image and steps" if images else "makes none; name one of image models"
            known = "" if images else f" ({', '.join(catalogue.image_model_names())})"
            yield path, f"found {part.is_kind}, and {model.name} {makes}{known}"


def check_rows(pool: Pool, engine: Engine, workload: Workload) -> Iterator[Finding]:
    """Several samples or beams of a prompt find seats, and no draft tokens."""
    width = max(part.width for part in workload.parts)
    if width > 1 and pool.speculative is not None:
        what = f"requests have up to {width} samples or beams, and draft tokens are modelled for one"
        yield ("speculative",), f"{what}; remove it, or the samples"
    seats, _ = limits(pool, engine)
    if width > seats:
        what = f"a step has room for {seats} sequences, and requests have up to {width} samples or beams"
        yield ("batching", "max_num_seqs"), f"{what}; use at least {width}"


def check_several(pool: Pool, hardware: Hardware, models: list[Model | Diffusion]) -> Iterator[Finding]:
    """Models that take turns on a replica are models of tokens, on chips that weights can be copied to."""
    if len(models) == 1:
        return
    if hardware.execution != "roofline":
        what = f"{hardware.name} keeps the weights of one model in SRAM, and this pool serves {len(models)}"
        yield ("hardware",), f"{what}; give each model a pool"
    for model in models:
        if isinstance(model, Diffusion):
            yield ("models",), f"{model.name} makes images, which is not modelled beside others; give it a pool"


def check_adapters(pool: Pool, hardware: Hardware, parts: list[Workload]) -> Iterator[Finding]:
    """Requests that name adapters find slots of their rank, from where adapters can be loaded.

    `parts` are the classes whose requests may come to this pool.
    """
    ranks = [rank for part in parts if part.adapters for rank in part.adapters.ranks]
    if pool.lora is None:
        if ranks:
            yield (
                ("lora",),
                f"is missing, and requests name adapters; give lora: {{slots: ..., max_rank: {max(ranks)}}}",
            )
        return
    if ranks and max(ranks) > pool.lora.max_rank:
        what = f"found {pool.lora.max_rank}, and requests name adapters of rank {max(ranks)}"
        yield ("lora", "max_rank"), f"{what}; use at least that"
    if pool.queue.order == "fair_share":
        yield ("queue", "order"), "fair_share has no order among requests that wait for an adapter; use another"
    if hardware.execution != "roofline" or hardware.host_gb_s is None:
        lacks = "keeps weights in SRAM" if hardware.execution != "roofline" else "has no host_gb_s, the rate of loading"
        yield ("lora",), f"{hardware.name} {lacks}; remove it"


def check_replicas(pool: Pool, plugins: list[str]) -> Iterator[Finding]:
    """The pool can serve at all, and its autoscaler is known."""
    if pool.autoscaler is None:
        if pool.replicas.initial == 0:
            yield (
                ("replicas", "initial"),
                "0 replicas and no autoscaler never serve; use at least 1 or add an autoscaler",
            )
        return
    if pool.autoscaler.policy not in AUTOSCALERS and not plugins:
        unknown = f"unknown policy {pool.autoscaler.policy}"
        yield ("autoscaler", "policy"), f"{unknown}; {nearest(pool.autoscaler.policy, AUTOSCALERS)}"
    fewest, most = pool.replicas.min, pool.replicas.max
    named: list[tuple[KeyPath, int]] = []
    if isinstance(pool.autoscaler, Fixed):
        named = [(("replicas",), pool.autoscaler.replicas)]
    elif isinstance(pool.autoscaler, Schedule):
        named = [(("rules", n, "replicas"), rule.replicas) for n, rule in enumerate(pool.autoscaler.rules)]
    for path, replicas in named:
        if not fewest <= replicas <= most:
            what = f"found {replicas}, which replicas.min {fewest} and replicas.max {most} never allow"
            yield ("autoscaler", *path), f"{what}; stay between them, or change them"


def check_autoscalers(scenario: Scenario) -> Iterator[Finding]:
    """An autoscaler that goes by the SLO has one, and an oracle a pool that gets all requests."""
    for index, pool in enumerate(scenario.pools):
        path = ("pools", index, "autoscaler", "policy")
        if isinstance(pool.autoscaler, SloFeedback | Queueing) and not any(
            slo.ttft_p99_s or slo.tpot_p99_s for slo in scenario.class_slos
        ):
            what = f"{pool.autoscaler.policy} goes by the SLO, which has neither ttft_p99_s nor tpot_p99_s"
            yield path, f"{what}; give slo one of them"
        if isinstance(pool.autoscaler, Oracle) and scenario.workload.waits:
            what = "what closed loops and agents send depends on how they are served, which no oracle knows beforehand"
            yield path, f"{what}; use another policy"
        if isinstance(pool.autoscaler, Oracle) and len(scenario.pools) > 1:
            what = f"the oracle knows the work of the whole service, of which {pool.name} gets a part"
            yield path, f"{what}; use it with a single pool"


def check_price(hardware: Hardware, pool: Pool) -> Iterator[Finding]:
    """Each source of machines has a price, and together they have the replicas that are ready at the start."""
    sources = [(("price",), pool.price), *((("fallbacks", k), choice) for k, choice in enumerate(pool.fallbacks))]
    for path, choice in sources:
        yield from ((path + inner, message) for inner, message in _check_price(hardware, choice))
    limits = [choice.limit for _, choice in sources]
    most = sum(limit for limit in limits if limit is not None)
    if None not in limits and pool.replicas.initial > most:
        yield ("replicas", "initial"), f"found {pool.replicas.initial}, but the limits of its sources sum to {most}"
    places = pool.placement.places
    if places is not None and pool.replicas.initial > places:
        yield ("replicas", "initial"), f"found {pool.replicas.initial}, but placement has {places} places"


def _check_price(hardware: Hardware, choice: PriceChoice) -> Iterator[Finding]:
    """The chip has a price of the chosen tier and provider, or the scenario brings its own."""
    if own_price(choice) or matching_prices(hardware, choice):
        return
    known = ", ".join(f"{price.tier} ({price.provider})" for price in hardware.prices)
    advice = f"its profile has {known}; choose one of these or give usd_per_chip_hour"
    if choice.provider is not None and any(price.tier == choice.tier for price in hardware.prices):
        yield ("provider",), f"{hardware.name} has no {choice.tier} price of {choice.provider}; {advice}"
    else:
        yield ("tier",), f"{hardware.name} has no {choice.tier} price; {advice}"


def own_price(choice: PriceChoice) -> bool:
    """Whether the scenario gives the price itself."""
    return choice.usd_per_chip_hour is not None or choice.series is not None or choice.owned is not None


def matching_prices(hardware: Hardware, choice: PriceChoice) -> list[Price]:
    """The profile's prices of the chosen tier and provider, preferred first."""
    provider = None if choice.provider is None else choice.provider.lower()
    return [p for p in hardware.prices if p.tier == choice.tier and provider in (None, p.provider.lower())]


def check_roles(scenario: Scenario) -> Iterator[Finding]:
    """Prefill pools have somewhere to send to, decode pools somebody to receive from, and both speak of the same KV."""
    pools = scenario.pools
    roles = {pool.role for pool in pools}
    for index, pool in enumerate(pools):
        path = ("pools", index)
        if pool.role == "decode" and pool.batching.policy not in (None, "chunked_prefill"):
            what = f"a {pool.role} pool needs batching policy chunked_prefill, found {pool.batching.policy}"
            yield (*path, "batching", "policy"), f"{what}; remove it, or use role both"
        if pool.role == "prefill" and pool.kv_transfer is None:
            yield (
                (*path, "kv_transfer"),
                "is missing; a prefill pool sends KV over a link: give kv_transfer: {gb_s: ...}",
            )
        if pool.role != "prefill" and pool.kv_transfer is not None:
            yield (*path, "kv_transfer"), f"is for prefill pools, and this one has role {pool.role}; remove it"
        if pool.role == "prefill" and "decode" not in roles:
            yield (*path, "role"), "prefill needs a decode pool to send to; add one, or use role both"
        if pool.role == "decode" and "prefill" not in roles:
            yield (*path, "role"), "decode needs a prefill pool to receive from; add one, or use role both"
        for key in ("max_queued", "max_queued_work_s"):
            if pool.role == "decode" and getattr(pool.queue, key) is not None:
                what = "requests are turned away where they arrive, and a decode pool receives what was let in"
                yield (*path, "queue", key), f"{what}; limit the prefill pools, or remove it"
    dtypes = {pool.precision.kv_cache for pool in pools if pool.role != "both"}
    if len(dtypes) > 1:
        found = ", ".join(sorted(str(dtype or "the 16-bit default") for dtype in dtypes))
        what = f"prefill and decode pools must store KV alike, found {found}"
        yield ("pools",), f"{what}; give each the same precision.kv_cache"
