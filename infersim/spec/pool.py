"""A pool: replicas of one kind, with their chips, engine, number, price and life.

Read `serving.py` for how they serve, `scenario.py` for what pools are parts of.
"""

from typing import Literal

from pydantic import Field, model_validator

from infersim.spec.adapters import AdapterSlots
from infersim.spec.autoscalers import Autoscaler
from infersim.spec.base import Count, Dtype, Spec, wrong_at
from infersim.spec.life import Billing, ColdStart, Draining
from infersim.spec.purchase import PriceChoice
from infersim.spec.serving import Batching, KvCache, KvTransfer, Queue, Speculation
from infersim.spec.topology import Placement
from infersim.spec.zoo import Switching

MOST_REPLICAS = 64
"""Of a pool that does not say otherwise."""


class Parallelism(Spec):
    """How a replica spreads over chips."""

    tensor: Count = 1
    """Chips that share each layer (roofline chips)."""
    pipeline: Count = 1
    """Stages of consecutive layers."""
    expert: Count = 1
    """Groups of a stage's chips that hold different experts; each expert is divided over tensor / expert chips."""
    attention_data: Count = 1
    """Groups of a stage's chips that serve different requests in attention, of tensor / attention_data chips each."""
    chips: Count | None = None
    """Chips of one replica, for SRAM pipelines, where the placement follows from their number; when absent the fewest
    that hold the weights and 65,536 tokens of keys and values."""


class Precision(Spec):
    """Dtypes of what is stored; computing follows from the chip."""

    weights: Dtype | None = None
    """Dtype of the weights; the model's own when absent."""
    kv_cache: Dtype | None = None
    """Dtype of keys and values; 16 bit when absent."""


class CostSource(Spec):
    """Where the times of steps come from."""

    source: Literal["analytic", "table", "measured"] = "analytic"
    """analytic: the cost model; table: measured operators or steps in a CSV file (`infersim/cost/measured_csv.py` has
    the format); measured: operators in the installed package aiconfigurator-core (extra silicon)."""
    file: str | None = None
    """The CSV file, relative to the scenario; only for table."""
    version: str | None = None
    """The engine's version to take measurements of; the newest when absent; only for measured."""

    @model_validator(mode="after")
    def _complete(self) -> "CostSource":
        if (self.source == "table") != (self.file is not None):
            raise wrong_at(("file",), "belongs to source table, and table needs it")
        if self.version is not None and self.source != "measured":
            raise wrong_at(("version",), f"is not used by source {self.source}; remove it")
        return self


class Replicas(Spec):
    """How many replicas a pool has; a number alone is `initial`."""

    initial: int = Field(default=1, ge=0)
    """Ready when the run starts."""
    min: int = Field(default=0, ge=0)
    """Fewest that an autoscaler may ask for."""
    max: Count = MOST_REPLICAS
    """Most that an autoscaler may ask for."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        if isinstance(given, int) and not isinstance(given, bool):
            return {"initial": given, "max": max(given, MOST_REPLICAS)}
        return given

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if not self.min <= self.initial <= self.max:
            raise ValueError(f"need min <= initial <= max, found {self.min}, {self.initial}, {self.max}")
        return self


class Takes(Spec):
    """Which requests a pool takes, of those for its models. Those that no pool with a ready replica takes go to any that is
    ready and serves their model."""

    min_input_tokens: Count = 1
    """Shortest prompt."""
    max_input_tokens: Count | None = None
    """Longest prompt; no limit when absent."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """Only requests of these classes; all when absent."""

    @model_validator(mode="after")
    def _ordered(self) -> "Takes":
        if self.max_input_tokens is not None and self.max_input_tokens < self.min_input_tokens:
            found = f"found {self.max_input_tokens}, must be at least min_input_tokens {self.min_input_tokens}"
            raise wrong_at(("max_input_tokens",), found)
        return self


class Pool(Spec):
    """Replicas of one kind: same chip, engine, layout and price."""

    name: str = Field(min_length=1)
    """Unique in the scenario."""
    hardware: str
    """A chip of the catalogue, or a path to a profile."""
    engine: str = "vllm"
    """An engine of the catalogue, or a path to a profile."""
    assume: dict[str, float] = Field(default_factory=dict)
    """What if: numbers of the chip's or the engine's profile, by dotted key, replaced (`link.latency_us: 1`)."""
    model: str | None = None
    """The model that it serves; the scenario's when absent."""
    models: list[str] | None = Field(default=None, min_length=1, max_length=1000)
    """Several models, which each replica serves one after the other; the first is active when it becomes ready."""
    switching: Switching | None = None
    """How a replica goes from one of several models to the next; by the defaults of `Switching` when absent."""
    parallelism: Parallelism = Parallelism()
    """Chips of one replica."""
    precision: Precision = Precision()
    """Dtypes."""
    batching: Batching = Batching()
    """How steps are formed."""
    kv_cache: KvCache = KvCache()
    """The KV cache."""
    lora: AdapterSlots | None = None
    """Room for adapters; none when absent."""
    speculative: Speculation | None = None
    """Speculative decoding; none when absent."""
    role: Literal["both", "prefill", "decode"] = "both"
    """prefill: replicas that process prompts and send the KV blocks to replicas of decode pools."""
    kv_transfer: KvTransfer | None = None
    """How a prefill pool sends KV blocks."""
    cost: CostSource = CostSource()
    """Where the times of steps come from."""
    queue: Queue = Queue()
    """Who in a replica's queue is next; `queue: priority` is short for `queue: {order: priority}`."""
    replicas: Replicas = Replicas()
    """How many."""
    autoscaler: Autoscaler | None = None
    """Who changes how many; nobody when absent."""
    price: PriceChoice = PriceChoice()
    """Where its machines come from, and what they cost."""
    fallbacks: list[PriceChoice] = Field(default_factory=list, max_length=16)
    """Where they come from when that has none, in this order."""
    billing: Billing = Billing()
    """How time becomes billed time."""
    cold_start: ColdStart = ColdStart()
    """How a replica becomes ready."""
    draining: Draining = Draining()
    """How a replica leaves."""
    placement: Placement = Placement()
    """Where its replicas stand."""
    takes: Takes = Takes()
    """Which requests the router may send there."""
    region: str | None = None
    """The region that it is in; needed where the scenario has regions."""
