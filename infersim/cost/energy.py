"""What a pool's steps used: FLOPs, bytes, seconds by cause and joules, from counts of shapes and the cost tables.

Power of a replica = idle power while it is up + dynamic power of its arithmetic and its memory traffic. The dynamic
joules for one FLOP and one byte are set in `dynamic_energy` so that the fastest possible steps draw exactly the TDP.
Not here: carbon, PUE and money (`infersim/results/`).
"""

from dataclasses import dataclass, fields

import numpy as np

from infersim.cost.tables import CostTables, Work
from infersim.dataplane.tally import Tally

COMPUTE_SHARE = 0.6
"""Share of the dynamic power at full load that arithmetic draws, the rest being memory traffic. Estimated: on H100
(700 W, 110 W idle) Llama-3.1-8B then draws 270 to 420 W in decode at batch 1 to 128 and about 500 W in prefill, inside
the 267 to 680 W that a public benchmark measured while vLLM served eight models at batch 1 to 128."""


@dataclass(frozen=True)
class Usage:
    """What steps used, summed."""

    flops: float
    """Useful arithmetic [FLOP]."""
    memory_bytes: float
    """Memory traffic [B]."""
    network_bytes: float
    """Traffic over scale-up links [B]."""
    compute_s: float
    """Seconds that compute bounded."""
    memory_s: float
    """Seconds that memory bandwidth bounded."""
    network_s: float
    """Seconds that links bounded."""
    launch_s: float
    """Seconds that launch floors and host overheads bounded."""
    slowed_s: float
    """Seconds by which slow replicas' steps were longer than they cost."""
    switching_s: float
    """Seconds of switching between models."""
    dynamic_j: float
    """Energy above idle [J]."""

    @property
    def busy_s(self) -> float:
        """All seconds in steps [s]."""
        return self.compute_s + self.memory_s + self.network_s + self.launch_s + self.slowed_s + self.switching_s


def dynamic_energy(dynamic_w: float, flops_s: float, bytes_s: float) -> tuple[float, float]:
    """Energy of one FLOP and one byte [J] of a chip that draws `dynamic_w` above idle [W] at its best rates.

    At `flops_s` and `bytes_s` together it draws its TDP; steps are never faster, so power never exceeds it.
    """
    return COMPUTE_SHARE * dynamic_w / flops_s, (1.0 - COMPUTE_SHARE) * dynamic_w / bytes_s


def usage(tables: CostTables, tally: Tally) -> Usage:
    """Price the counts of one pool."""
    if tables.models:
        parts = [usage(model.tables, own) for model, own in zip(tables.models, tally.by_model, strict=True)]
        return Usage(**{field.name: sum(getattr(part, field.name) for part in parts) for field in fields(Usage)})
    return _usage(tables, tally)


def _usage(tables: CostTables, tally: Tally) -> Usage:
    """Price the counts of one model."""
    parts: list[tuple[Work, np.ndarray | float]] = [
        (tables.linear, tally.steps_by_tokens),
        (tables.sequences, tally.steps_by_sequences),
        (tables.decode_base, tally.steps_by_batch),
        (tables.decode_per_context, tally.context_by_batch),
        (tables.prefill_chunk, tally.prefill_chunks),
    ]
    if tables.prompts is not None:
        parts.append((tables.prompts, tally.steps_by_prompt_tokens))
    if tables.mixed is not None:
        parts.append((tables.mixed, tally.mixed_steps_by_tokens))
    names = ("flops", "memory_bytes", "network_bytes", "compute_s", "memory_s", "network_s", "launch_s")
    sums = {name: sum(float(np.dot(getattr(work, name), counts)) for work, counts in parts) for name in names}
    sums["flops"] += float(tables.prefill_pair.flops) * tally.prefill_pairs
    sums["memory_bytes"] += float(tables.prefill_context.memory_bytes) * tally.prefill_context
    if (adapters := tables.adapters) is not None:
        sums["flops"] += float(adapters.token.flops) * tally.adapter_tokens
        sums["memory_bytes"] += float(adapters.read.memory_bytes) * tally.adapter_reads
        sums["launch_s"] += float(adapters.step.launch_s) * tally.adapter_steps
        sums["compute_s"] += tally.adapter_compute_s
        sums["memory_s"] += tally.adapter_memory_s
    sums["compute_s"] += tally.prefill_compute_s
    sums["memory_s"] += tally.prefill_memory_s
    joules = tables.joules_per_flop * sums["flops"] + tables.joules_per_byte * sums["memory_bytes"]
    return Usage(dynamic_j=joules, slowed_s=tally.slowed_s, switching_s=tally.switching_s, **sums)


def idle_joules(tables: CostTables, up_s: float) -> float:
    """Energy that replicas draw for being up, busy or not [J]; `up_s` sums over replicas."""
    return tables.idle_w * up_s
