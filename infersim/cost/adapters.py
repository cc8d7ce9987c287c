"""What adapters (LoRA) cost: two thin products beside every projection of a layer.

An adapter of rank r has r (inputs + outputs) parameters for each projection, the three of attention's input and the two
of a gated MLP counted apart, in 16 bit. Experts of a mixture have none. In a step the kernels (Punica, S-LoRA) read each
adapter once and work on each token; both are padded to the highest rank. It is spread evenly over a replica's chips.
Not here: who waits for a slot (`infersim/dataplane/adapters.py`).
"""

from dataclasses import replace

import numpy as np

from infersim.cost.deployment import Deployment
from infersim.cost.operators import Operator, layer_operators
from infersim.cost.sharding import divide
from infersim.cost.tables import AdapterCost
from infersim.cost.work import launches, zeros
from infersim.spec.model import Model

ADAPTER_BYTES = 2.0
"""Bytes of a parameter."""
KERNELS = 2
"""For each group of projections: to the rank, and back from it."""


def adapted(model: Model) -> list[tuple[int, Operator]]:
    """Projections that adapters stand beside, with the layers that have them."""
    return [
        (n, o) for n, o in layer_operators(model, divide(model, 1)) if o.shape and not o.experts and o.name != "router"
    ]


def parameters_a_rank(model: Model) -> float:
    """Parameters of an adapter for each of its ranks."""
    parts = {"qkv": 3, "up": 2 if model.gated_mlp else 1}  # products in one kernel, each with an adapter of its own
    return float(sum(n * (parts.get(o.name, 1) * o.shape[0] + o.shape[1]) for n, o in adapted(model) if o.shape))


def slots_bytes(d: Deployment) -> float:
    """Memory of all slots of a replica [B]."""
    if d.adapters is None:
        return 0.0
    return d.adapters.slots * d.adapters.max_rank * parameters_a_rank(d.model) * ADAPTER_BYTES


def adapter_cost(d: Deployment) -> AdapterCost | None:
    """Prices of a replica with slots; None without. ValueError where the host link is not known."""
    if d.adapters is None:
        return None
    host = d.chip.hardware.host_gb_s
    if host is None:
        raise ValueError(f"the profile of {d.chip.hardware.name} has no host_gb_s, over which adapters are loaded")
    each = parameters_a_rank(d.model)
    read, flops = each * d.adapters.max_rank * ADAPTER_BYTES, 2.0 * each * d.adapters.max_rank
    floor = KERNELS * sum(layers for layers, _ in adapted(d.model)) * d.floor_s
    return AdapterCost(
        slots=d.adapters.slots,
        rank_s=each * ADAPTER_BYTES / (d.chips * host.value * 1e9),
        step=launches(np.array(floor)),
        read=replace(
            zeros(()), memory_bytes=np.array(read), memory_s=np.array(read / (d.chips * d.chip.weight_bytes_s))
        ),
        token=replace(
            zeros(()),
            flops=np.array(flops),
            compute_s=np.array(flops / (d.chips * d.chip.matmul_flops(d.chip.sixteen_bit))),
        ),
    )
