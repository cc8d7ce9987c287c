"""Seconds of each phase of a cold start: image, weights, initialisation, and waking a sleeping replica.

    load = bytes of the weights / the slowest of storage, network into the machine, and PCIe into its chips

Not here: how long finding a machine takes (`infersim/spec/provisioning.py`), and living through it
(`infersim/controlplane/cold_start.py`).
"""

from dataclasses import dataclass

from infersim.cost.tables import CostTables
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.life import ColdStart, Weights

STORAGE_GB_S = {"object_store": 7.0, "disk": 1.1, "nvme": 12.0}
"""Rate of a machine's storage [GB/s]. object_store: Llama-2-70B from S3 to a p4de in 20 s once tuned, 4 min 25 s before
(Anyscale); disk: a gp3 volume of AWS, streamed, 0.33 with the plain safetensors loader; nvme: two drives in RAID 0
(ServerlessLLM, OSDI 2024)."""


@dataclass(frozen=True)
class Phases:
    """How long each phase of a pool's cold starts takes [s]."""

    image_s: float
    load_s: float
    cached_s: float
    """Loading weights that lie in host memory."""
    peer_s: float | None
    """Loading weights from a ready replica's chips; None where that is not done."""
    initialise_s: float
    wake_s: float
    """From asleep to ready."""
    source: str
    """Where the weights come from, for the trace."""


def plain_phases(tables: CostTables) -> Phases:
    """Phases as chip and engine have them, nothing chosen."""
    load_s = tables.load_s
    return Phases(0.0, load_s, load_s, None, tables.initialise_s, load_s, "profile")


def phases(spec: ColdStart, hardware: Hardware, engine: Engine, tables: CostTables) -> Phases:
    """Phases of a pool's cold starts."""
    size, chips = tables.memory.weight_bytes, tables.chips
    into_chips = chips * 1e9 * (hardware.host_gb_s or hardware.load_gb_s).value
    between = network_bytes_s(spec.weights, hardware, chips)
    compile_s = 0.0 if spec.compilation_cache or engine.compile_s is None else engine.compile_s.value
    initialise_s = engine.initialise_s.value if spec.initialise_s is None else spec.initialise_s
    return Phases(
        image_s=spec.image.size_gb / spec.image.gb_s if spec.image else 0.0,
        load_s=tables.load_s
        if spec.weights.source == "profile"
        else size / load_bytes_s(spec.weights, hardware, chips),
        cached_s=size / into_chips,
        peer_s=size / min(between, into_chips) if spec.weights.peer else None,
        initialise_s=initialise_s + compile_s,
        wake_s=size / into_chips + (spec.warm.wake_s if spec.warm else 0.0),
        source=spec.weights.source,
    )


def load_bytes_s(weights: Weights, hardware: Hardware, chips: int) -> float:
    """Rate at which weights reach a replica's chips from where they are stored: the slowest part of the way [B/s]."""
    into_chips = chips * (hardware.host_gb_s or hardware.load_gb_s).value
    if weights.source == "page_cache":
        return into_chips * 1e9
    rates = [into_chips, weights.storage_gb_s or STORAGE_GB_S[weights.source]]
    if weights.source in ("object_store", "disk"):
        rates.append(network_bytes_s(weights, hardware, chips) / 1e9)
    return min(rates) * 1e9


def network_bytes_s(weights: Weights, hardware: Hardware, chips: int) -> float:
    """Rate of the network into a replica's machines: as given, or of its chips' scale-out links; else no limit [B/s]."""
    if weights.network_gb_s is not None:
        return weights.network_gb_s * 1e9
    return float("inf") if hardware.scale_out is None else chips * hardware.scale_out.one_way_gb_s.value * 1e9
