"""Operators of a deployment in the time that a table says, where there is one.

Each function takes what the analytic model says and returns it with the seconds of the table, never under the roofline:
FLOPs over peak or bytes over bandwidth. Not here: the tables (`measured.py`). Read `roofline.py` for who asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from infersim.cost.deployment import Deployment
from infersim.cost.grouped import by_block
from infersim.cost.measured import BY_BLOCK, ExpertShape, Heads, affine
from infersim.cost.operators import Operator, Part
from infersim.cost.tables import Array, Work
from infersim.cost.work import launches

LONG = 256
"""Contexts and prompts from here on decide how attention grows; shorter ones are all floor [tokens]."""
FUSED = ("choose and sort", "experts up", "experts activation", "experts down", "weighted sum")
"""Operators that a table of experts holds together."""


def as_measured(work: Work, seconds: Array, stored: str, d: Deployment) -> Work:
    """The same work in other seconds, at least its roofline's: launch floors keep theirs, the bound takes the rest."""
    peak = d.chip.peak_flops(stored)  # type: ignore[arg-type]
    least = np.maximum(work.flops / (d.tensor * peak), work.memory_bytes / (d.tensor * d.chip.peak_bytes_s))
    whole = np.maximum(seconds, least)
    launch = np.minimum(work.launch_s, whole - least)
    computes = work.compute_s >= work.memory_s
    rest = whole - launch
    return replace(
        work, compute_s=np.where(computes, rest, 0.0), memory_s=np.where(computes, 0.0, rest), launch_s=launch
    )


def product(work: Work, operator: Operator, tokens: Array, d: Deployment, analytic: Callable[..., Array]) -> Work:
    """A matrix product as measured; `analytic` is the model's time by (tokens, columns, rows)."""
    stored = d.weights if operator.quantised else d.chip.sixteen_bit
    assert d.measured is not None
    table = d.measured.products.get(stored)
    if table is None or operator.shape is None:
        return work
    rows, columns = operator.shape
    return as_measured(work, table.at(analytic, tokens, columns, rows), stored, d)


def fused_experts(
    part: Part, tokens: Array, d: Deployment, analytic: Callable[[Array], Work]
) -> tuple[Work, Part] | None:
    """A layer's routed experts as measured and what is left of the layer; None without a table of this shape.

    `analytic`: the model's work of the operators that a table holds together, by tokens.
    """
    experts = d.model.experts
    if part.name != "experts" or experts is None or d.measured is None:
        return None
    tables, whole = d.measured.experts, d.tensor // d.expert
    shape = ExpertShape(
        d.model.hidden_size, experts.intermediate_size, experts.count, experts.per_token, whole, d.expert, d.weights
    )
    table = tables.get(replace(shape, dtype=BY_BLOCK), tables.get(shape)) if by_block(d) else tables.get(shape)
    if table is None:
        return None
    seconds = table.at(lambda count: analytic(np.atleast_1d(count)).seconds.reshape(np.shape(count)), tokens)
    rest = replace(part, operators=[o for o in part.operators if o not in fused(part)])
    return as_measured(analytic(tokens), seconds, d.weights, d), rest


def fused(part: Part) -> Sequence[Operator]:
    """The operators of routed experts that one table holds together: up to the weighted sum."""
    names = [operator.name for operator in part.operators]
    if "weighted sum" not in names:
        return []
    until = part.operators[: names.index("weighted sum") + 1]
    return [operator for operator in until if operator.name in FUSED]


def all_reduced(chips: int, message: Array, d: Deployment, analytic: Callable[[Array], Array]) -> Array | None:
    """Seconds of an all-reduce of `message` bytes as measured, its launch included; None without a table."""
    table = d.measured.all_reduce.get(chips) if d.measured is not None else None
    if table is None:
        return None
    least = message / (d.chip.link.one_way_gb_s.value * 1e9)  # a switch that adds up lets each chip send once
    return np.maximum(table.at(analytic, message), least)


def heads(d: Deployment) -> Heads | None:
    """The shape of attention on one chip; None where it is not plain attention to the whole context."""
    attention = d.model.attention
    if attention.latent or attention.top_k or d.model.with_window:
        return None
    return Heads(d.shard.heads, d.shard.kv_heads, attention.head_dim, d.kv_cache)


def decode_attention(base: Work, per_context: Work, d: Deployment) -> tuple[Work, Work]:
    """Decode attention's (base, per attended token) by batch, as measured on the nearest shape.

    The table's contexts are drawn together to a line for each batch, because steps are priced affine in the context.
    Beyond the table both go on as the analytic model does. Shapes of other heads are scaled by their keys and values.
    """
    shape = heads(d)
    found = d.measured.attention("decode", shape) if d.measured is not None and shape is not None else None
    if found is None or shape is None:
        return base, per_context
    table, measured = found
    batches, contexts = table.axes
    layers, grows = d.model.with_attention / d.stages, shape.kv_heads / measured.kv_heads
    lines = []
    for row, batch in zip(table.seconds, batches, strict=True):
        long = ~np.isnan(row) & (contexts >= LONG)
        if long.sum() >= 2:
            lines.append((batch, *affine(batch * contexts[long], row[long])))
    if not lines:
        return base, per_context
    known, constants, slopes = (np.array(column) for column in zip(*lines, strict=True))
    batch = np.arange(len(base.seconds), dtype=np.float64)
    near = np.clip(batch, known[0], known[-1]).astype(int)
    constant = np.interp(batch, known, constants) * layers * d.stages
    slope = np.interp(batch, known, slopes) * layers * d.stages * grows
    beyond = per_context.seconds / np.maximum(per_context.seconds[np.minimum(near, len(batch) - 1)], 1e-30)
    return launches(np.where(batch > 0, constant, 0.0)), _slower(
        per_context, slope * np.where(batch > 0, beyond, 1.0), d
    )


def _slower(per_context: Work, seconds: Array, d: Deployment) -> Work:
    """Reading one token of context in other seconds, at least those of the roofline."""
    least = np.maximum(
        per_context.flops / (d.tensor * d.chip.peak_flops(d.chip.sixteen_bit)),
        per_context.memory_bytes / (d.tensor * d.chip.peak_bytes_s),
    )
    whole, computes = np.maximum(seconds, least), per_context.compute_s > per_context.memory_s
    return replace(per_context, compute_s=np.where(computes, whole, 0.0), memory_s=np.where(computes, 0.0, whole))


def prefill_attention(floor: Work, row: Work, pair: Work, d: Deployment) -> tuple[Work, Work, Work]:
    """Prefill attention's (floor, one token, one query-key pair), as measured on the nearest shape; its floor and pairs hold the tokens."""
    shape = heads(d)
    found = d.measured.attention("prefill", shape) if d.measured is not None and shape is not None else None
    if found is None or shape is None:
        return floor, row, pair
    table, measured = found
    tokens = table.axes[0]
    long = ~np.isnan(table.seconds) & (tokens >= LONG)
    if long.sum() < 2:
        return floor, row, pair
    constant, slope = affine(tokens[long] * (tokens[long] + 1) / 2.0, table.seconds[long])
    layers = d.model.with_attention
    seconds = slope * layers / d.stages * shape.heads / measured.heads / d.attention_data
    least = pair.flops / (d.chips * d.chip.peak_flops(d.chip.sixteen_bit))
    pair = replace(pair, compute_s=np.maximum(seconds, least))
    return launches(np.array(constant * layers)), replace(row, memory_s=np.array(0.0)), pair
