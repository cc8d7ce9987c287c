"""Steps of chips that run every layer and stream the weights from memory, GPUs, TPUs, Inferentia: by tokens, sequences and contexts.

Two collectives follow in each layer of a tensor-parallel group. Pipeline stages work on micro-batches of one step at the same time. Not here:
the time of one operator (`operator_time.py`), chips that keep the weights in SRAM (`pipeline.py`).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infersim.cost import tabled
from infersim.cost.collectives import all_gather_s, all_reduce_s, all_to_all_s, bytes_out, send_s
from infersim.cost.deployment import Deployment
from infersim.cost.operator_time import kernels_of, operator_work
from infersim.cost.operators import (
    ACTIVATION_BYTES,
    Operator,
    Part,
    attended,
    head_operators,
    layer_operators,
    layer_parts,
)
from infersim.cost.tables import Array, Work
from infersim.cost.work import in_buckets, launches, network, only_where, padded, padding, total, zeros

SMALL_KV_SHARE = 0.87
"""Share of the bandwidth that decode attention keeps when keys and values have fewer than 16 bits, where the engine does not say:
unpacking them leaves 0.8 to 0.9 of the gain, fp8 on H100 and H200 in aiconfigurator-core 0.12.0."""
DECODE_LAUNCHES = 3
"""Kernels' worth of floor in decode attention, which splits keys and values and then combines: 10 to 12 us on H100."""
FILTERS = {"plain": 0.0, "filtered": 1.0, "penalised": 2.0}
"""How many times a step pays for filters of the sampler."""


def kv_bytes_s(d: Deployment) -> float:
    """Achieved bandwidth of one chip when it reads keys and values as they are stored [B/s]."""
    share = SMALL_KV_SHARE if d.engine.small_kv_share is None else d.engine.small_kv_share
    return d.chip.kv_bytes_s * (share if d.kv_bytes < 2.0 else 1.0)


def rereads(d: Deployment) -> float:
    """Times that reading keys and values once takes where each query head of a group reads them by itself, from the cache after the first."""
    reads, latent = d.engine.query_reads, d.model.attention.latent
    if reads is None or latent or d.kv_bytes < 2.0:
        return 1.0
    return max(1.0, d.shard.heads / d.shard.kv_heads * kv_bytes_s(d) / (reads.value * d.chip.peak_bytes_s))


def reduced_s(d: Deployment, chips: int, message: Array) -> Array:
    """Time of an all-reduce of `message` bytes over `chips` chips under this engine [s]."""
    return all_reduce_s(d.chip.link, chips, message, d.chip.hardware.scale_out, d.own_message_bytes(chips))


def collectives(part: Part, d: Deployment, tokens: Array) -> Work:
    """What ends a layer: its group adds up its results, or tokens travel to the experts' chips and back; as kernels."""
    hidden, apart = ACTIVATION_BYTES * d.model.hidden_size, d.attention_data > 1
    groups = 1 if part.name == "experts" else groups_of(part.name, d)
    group = d.tensor // groups
    if group == 1:
        return zeros(tokens.shape)
    if part.name == "experts" and apart and d.expert > 1:
        assert d.model.experts is not None
        sent = tokens / d.tensor * min(d.model.experts.per_token, d.expert - 1) * hidden
        seconds = 2.0 * all_to_all_s(d.chip.hardware, group, sent)
        links, kernels = network(seconds, 2.0 * group * sent), 2
    else:
        message = hidden * np.ceil(tokens / groups)

        def analytic(sent: Array) -> Array:
            return reduced_s(d, group, sent)

        seconds = analytic(message)
        if (measured := tabled.all_reduced(group, message, d, analytic)) is not None:
            return network(measured, d.tensor * bytes_out(group, message))
        links, kernels = network(seconds, d.tensor * bytes_out(group, message)), 1
    return links + launches(np.full_like(tokens, kernels * d.floor_s))


def part_work(part: Part, tokens: Array, d: Deployment) -> Work:
    """All layers of one kind on each chip; groups of data-parallel attention share the tokens."""

    def experts(count: Array) -> Work:
        return total((operator_work(operator, count, d) for operator in tabled.fused(part)), count.shape)

    layer, left = zeros(tokens.shape), part
    if (found := tabled.fused_experts(part, tokens, d, experts)) is not None:
        layer, left = found
    mine = np.ceil(tokens / groups_of(part.name, d))
    counts = ((o, tokens if o.name in tabled.FUSED else mine) for o in left.operators)
    layer += total((operator_work(operator, count, d) for operator, count in counts), tokens.shape)
    return (layer + collectives(part, d, tokens)) * float(part.layers)


def groups_of(layer: str, d: Deployment) -> int:
    """Groups of data-parallel attention that each run a layer, its routed experts apart, for their own share of a step's tokens; 1 where
    all chips run it for all."""
    return d.attention_data if layer in ("attention", "recurrent") else d.tensor // d.shard.dense_tensor


def parts_of(d: Deployment) -> list[Part]:
    """All layers by kind. A bias is added to the sum of a group's results, so by a kernel after the collective where PyTorch launches
    each; alone it is the end of a product."""
    return layer_parts(d.model, d.shard, biases=d.tensor > 1 and d.engine.passes > 1.0)


def waiting_for_launches(parts: list[Part], d: Deployment, seconds: Array) -> Array:
    """Time that a device that is busy for `seconds` waits for a host that launches the layers kernel after kernel and
    runs ahead of it [s]."""
    if d.engine.launch_us is None:
        return np.zeros_like(seconds)
    kernels = sum(
        part.layers
        * (
            sum(kernels_of(operator, d) for operator in part.operators)
            + (part.name in ("attention", "recurrent"))  # attention itself
            + (d.tensor > 1)  # the collective
        )
        for part in parts
    )
    return np.maximum(0.0, kernels * d.engine.launch_us.value * 1e-6 * d.chip.host_time - seconds)


def micro_batches(counts: Array, stages: int) -> Array:
    """Share of a step that one of `stages` pipeline stages holds at a time, the others being busy with the rest."""
    return np.ceil(counts / stages)


def linear_work(d: Deployment) -> Work:
    """By tokens of the step: all layers but attention, with collectives and hand-overs between stages."""
    tokens = np.arange(d.max_num_batched_tokens + 1, dtype=np.float64)
    parts, fixed = parts_of(d), attended(d.model, d.shard).fixed_flops
    embedding = Operator("embedding", 0.0, 0.0, 2.0 * d.model.hidden_size, 1)

    def cost(count: Array) -> Work:
        work = total((part_work(part, count, d) for part in parts), count.shape) + operator_work(embedding, count, d)
        work += attention_arithmetic(d, fixed * count)
        work += launches(np.where(never_graphed(count, d), waiting_for_launches(parts, d, work.seconds), 0.0))
        if d.stages > 1:
            message = ACTIVATION_BYTES * d.model.hidden_size * count
            work += network(send_s(d.chip.hardware, d.chips, message), d.tensor * message) * float(d.stages - 1)
        return work

    share = micro_batches(tokens, d.stages)
    work = in_buckets(share, d.engine.token_buckets, cost)
    repeats = np.divide(tokens, share, out=np.zeros_like(tokens), where=tokens > 0)
    useful = sum(layers * operator.flops for layers, operator in layer_operators(d.model, d.whole)) + fixed
    return replace(
        work,
        flops=useful * tokens,
        memory_bytes=work.memory_bytes * repeats,
        network_bytes=work.network_bytes * repeats,
    )


def mixed_work(d: Deployment, linear: Work) -> Work | None:
    """By tokens of a step with prompts: waiting for launches, where only steps without replay graphs of that size."""
    if d.engine.launch_us is None or d.engine.graphed_seqs == 0:
        return None
    tokens = np.arange(d.max_num_batched_tokens + 1, dtype=np.float64)
    waited = waiting_for_launches(parts_of(d), d, linear.seconds)
    return only_where(
        launches(waited), (tokens > graphed_tokens(d)) & ~never_graphed(micro_batches(tokens, d.stages), d)
    )


def never_graphed(tokens: Array, d: Deployment) -> NDArray[np.bool_]:
    """Which sizes of a step no graph was captured for, with prompts or without."""
    decoding = math.inf if d.engine.graphed_seqs is None else d.engine.graphed_seqs
    return (np.ceil(tokens / d.attention_data) > decoding) & (tokens > graphed_tokens(d))


def graphed_tokens(d: Deployment) -> int:
    """Tokens up to which steps with prompts replay graphs."""
    latent = d.engine.latent_graph_tokens if d.model.attention.latent else None
    return d.engine.mixed_graph_tokens if latent is None else latent


def attention_arithmetic(d: Deployment, flops: Array) -> Work:
    """Arithmetic of attention that does not depend on the context."""
    return replace(zeros(flops.shape), flops=flops, compute_s=flops / (d.tensor * d.chip.attention_flops))


def sequence_work(d: Deployment) -> Work:
    """By sequences of the step: engine overhead, LM head, sampling."""
    sequences = np.arange(d.max_num_seqs + 1, dtype=np.float64)
    operators = head_operators(d.model, d.shard, d.engine.filter_overhead_us is not None)
    groups = groups_of("LM head", d)
    group = d.tensor // groups

    def cost(count: Array) -> Work:
        mine = np.ceil(count / groups)
        work = total((operator_work(operator, mine, d) for operator in operators), count.shape)
        if group > 1:  # it gathers the logits of its own sequences
            part = ACTIVATION_BYTES * d.shard.vocab * mine
            seconds = all_gather_s(d.chip.link, group, part, d.chip.hardware.scale_out, d.own_message_bytes(group))
            work += network(seconds, d.tensor * (group - 1.0) * part)
        return work

    work = in_buckets(micro_batches(sequences, d.stages), d.engine.sequence_buckets, cost)
    return replace(
        work + host_work(d, sequences),
        flops=sum(operator.flops for operator in head_operators(d.model, d.whole)) * sequences,
    )


def host_work(d: Deployment, sequences: Array) -> Work:
    """The engine's own time in a step."""
    microseconds = d.engine.step_overhead_us.value + d.engine.sequence_overhead_us.value * sequences
    if d.engine.filter_overhead_us is not None:
        microseconds += d.engine.filter_overhead_us.value * FILTERS[d.model.sampling]
    return only_where(launches(microseconds * 1e-6 * d.chip.host_time), sequences > 0)


def decode_work(d: Deployment) -> tuple[Work, Work]:
    """By decoding sequences: (floor of decode attention, windows and states; reading one attended token of KV).

    Contexts are padded as far as compiled lengths pad them on average; caches of slots are read whole, whatever is in them.
    """
    batch = np.arange(d.max_num_seqs + 1, dtype=np.float64)
    shapes, model, groups = attended(d.model, d.shard), d.model, d.attention_data
    floor = np.full_like(batch, (DECODE_LAUNCHES * model.with_attention + model.with_state) * d.floor_s)
    moved, flops = shapes.read * d.kv_bytes, shapes.pair_flops
    memory, compute = moved * rereads(d) / kv_bytes_s(d) / groups, flops / d.tensor / d.chip.attention_flops
    computed = padded(batch, d.engine.sequence_buckets)
    share = np.ones_like(batch)
    np.divide(computed, batch, out=share, where=batch > 0)
    share *= padding(d.engine.context_buckets)
    seconds = max(memory, compute) * share / np.clip(batch, 1.0, d.stages)
    per_context = replace(
        zeros(batch.shape),
        flops=np.full_like(batch, flops),
        memory_bytes=moved * d.shard.attention_tensor * share,
        memory_s=seconds * (memory >= compute),
        compute_s=seconds * (memory < compute),
    )
    apart = shapes.read_fixed * d.kv_bytes
    fixed = replace(
        launches(floor),
        memory_bytes=apart * d.shard.attention_tensor * computed,
        memory_s=apart / kv_bytes_s(d) * np.ceil(computed / groups) / np.clip(batch, 1.0, d.stages),
    )
    if d.measured is not None:
        attention, per_context = tabled.decode_attention(launches(floor), per_context, d)
        fixed = replace(fixed, launch_s=attention.launch_s)
    if d.engine.slot_tokens is not None:
        whole = replace(per_context, flops=np.zeros_like(batch)) * (batch * d.engine.slot_tokens)
        fixed, per_context = fixed + whole, replace(zeros(batch.shape), flops=per_context.flops)
    return only_where(fixed, batch > 0), per_context
