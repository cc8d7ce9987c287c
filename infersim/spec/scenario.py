"""A scenario: which model, on which chips, under which traffic, decided by whom, at which price, within which SLO.

Not here: the traffic (`workload.py`), reading YAML (`load.py`) and names of chips, models and engines (`catalogue.py`).
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from infersim.spec.adapters import AdapterSlots
from infersim.spec.autoscalers import Autoscaler
from infersim.spec.base import Count, Dtype, NonNegative, Positive, Spec, wrong_at
from infersim.spec.clients import Admission
from infersim.spec.facility import Facility
from infersim.spec.faults import Failures
from infersim.spec.life import Billing, ColdStart, Draining
from infersim.spec.phases import Phase
from infersim.spec.purchase import PriceChoice
from infersim.spec.regions import Region
from infersim.spec.slo import Slo
from infersim.spec.topology import Placement
from infersim.spec.workload import Workload
from infersim.spec.zoo import Switching

if TYPE_CHECKING:
    from infersim.spec.document import Document

MOST_SAMPLES = 1_000_000
"""Rows of the longest timeline."""

MOST_REPLICAS = 64
"""Of a pool that does not say otherwise."""

Weight = Annotated[int, Field(ge=0, le=1_000_000)]

# ---------------------------------------------------------------- fleet


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


class Batching(Spec):
    """How an engine forms steps; absent numbers are the engine's defaults."""

    policy: str | None = None
    """The engine's own when absent (`infersim engine show`; decode pools and swapping always chunk). chunked_prefill: running sequences first, then prompt chunks within the token budget, as vLLM V1; prefill_first:
    whole prompts before decoding, as vLLM V0; static: a batch is gathered, then runs until its longest answer ends;
    dynamic: static, but waits for a full batch or max_queue_delay_s, as Triton; none: one request at a time; or a
    plugin's name."""
    max_queue_delay_s: NonNegative | None = None
    """Longest that a dynamic batch is gathered [s]."""
    max_num_seqs: Count | None = None
    """Most sequences in a step."""
    max_num_batched_tokens: Count | None = None
    """Most tokens in a step."""

    @model_validator(mode="after")
    def _delay_of_dynamic(self) -> "Batching":
        if (self.policy == "dynamic") != (self.max_queue_delay_s is not None):
            raise ValueError("max_queue_delay_s belongs to policy dynamic, and dynamic needs it")
        return self


class Queue(Spec):
    """Who in a replica's queue is next."""

    order: str = "fcfs"
    """fcfs: first come; priority: highest class priority, which also preempts lower ones; shortest_job: fewest prompt
    tokens; shortest_predicted: fewest output tokens, as predicted with prediction_sigma; earliest_deadline: earliest
    arrival + TTFT limit of the class's SLO, or of the scenario's; fair_share: the class that has been served least (the
    virtual token counter of Sheng et al. 2024), in tokens of input_weight and output_weight; or a plugin's name."""
    prediction_sigma: Annotated[float, Field(ge=0, le=10)] | None = None
    """Error of predicted lengths: standard deviation of log(predicted / true); 0 predicts exactly."""
    input_weight: Weight | None = None
    """What a prompt token counts in fair sharing; 1 when absent."""
    output_weight: Weight | None = None
    """What an output token counts in fair sharing; 2 when absent."""
    max_queued: Count | None = None
    """Most requests in a replica's front end and queue; more are turned away (queue_full)."""
    max_queued_work_s: Positive | None = None
    """Most prompt work in them, at the replica's best rate [s]; requests beyond are turned away (overloaded)."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        return {"order": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _belongs(self) -> "Queue":
        if (self.order == "shortest_predicted") != (self.prediction_sigma is not None):
            missing = self.prediction_sigma is None
            what = "is missing; say how well lengths are predicted" if missing else f"is not used by {self.order}"
            raise wrong_at(("prediction_sigma",), what if missing else f"{what}; remove it")
        for key in ("input_weight", "output_weight"):
            if getattr(self, key) is not None and self.order != "fair_share":
                raise wrong_at((key,), f"is for fair_share, and this order is {self.order}; remove it")
        if self.input_weight == 0 and self.output_weight == 0:
            raise wrong_at(("output_weight",), "with both weights 0 nothing counts; use at least 1")
        return self


class KvCache(Spec):
    """The paged KV cache."""

    blocks: Count | None = None
    """KV blocks of one replica, of block_size tokens in all layers; wins over the memory plan."""
    block_size: Count | None = None
    """Tokens in a block; the engine's when absent."""
    watermark: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the blocks that admissions leave free while the batch is not empty."""
    preemption: Literal["recompute", "swap"] = "recompute"
    """What becomes of a sequence whose blocks are needed: computed again, or copied to host memory and back."""
    prefix_caching: bool = False
    """Whether prompts that begin alike share KV blocks, kept while there is room; the workload must name prefixes."""
    host_gb: Positive | None = None
    """Host memory of one replica [GB] as a second level of the prefix cache: what is evicted goes there and is copied
    back when it is asked for again; none when absent."""

    @model_validator(mode="after")
    def _host_of_prefixes(self) -> "KvCache":
        if self.host_gb is not None and not self.prefix_caching:
            raise wrong_at(
                ("host_gb",), "is a second level of the prefix cache; set prefix_caching: true, or remove it"
            )
        return self


class Speculation(Spec):
    """Speculative decoding: tokens are drafted cheaply and verified together."""

    method: Literal["draft_model", "ngram", "mtp"]
    """draft_model: a smaller model on the same chips; ngram: looked up in the prompt, at no cost on the chip; mtp: a
    head of one more layer of the model itself, run once for each token."""
    model: str | None = None
    """The draft model; only for draft_model."""
    tokens: Annotated[int, Field(ge=1, le=32)]
    """Tokens drafted for each sequence and step."""
    acceptance: float | list[float]
    """Chance that a draft token is accepted if those before it were: one number, or one for each position."""

    @model_validator(mode="after")
    def _complete(self) -> "Speculation":
        if (self.method == "draft_model") != (self.model is not None):
            found = (
                "is missing; name the draft model" if self.model is None else f"is not used by {self.method}; remove it"
            )
            raise wrong_at(("model",), found)
        for chance in self.acceptance if isinstance(self.acceptance, list) else [self.acceptance]:
            if not 0 <= chance <= 1:
                raise wrong_at(("acceptance",), f"found {chance:g}; must be at least 0 and at most 1")
        if isinstance(self.acceptance, list) and len(self.acceptance) != self.tokens:
            what = f"has {len(self.acceptance)} chances for {self.tokens} tokens"
            raise wrong_at(("acceptance",), f"{what}; give one number, or one for each token")
        return self

    @property
    def chances(self) -> tuple[float, ...]:
        """One chance for each position."""
        return tuple(self.acceptance) if isinstance(self.acceptance, list) else (self.acceptance,) * self.tokens


class KvTransfer(Spec):
    """The link over which a prefill replica sends KV blocks to decode replicas, one sequence after the other."""

    gb_s: Positive
    """Rate out of one replica [GB/s]."""
    latency_ms: NonNegative = 0.1
    """Set-up of one transfer [ms]."""


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


class Router(Spec):
    """Who decides where a request goes."""

    policy: str = "least_outstanding"
    """round_robin, random, least_outstanding, power_of_two, least_prompt_work, least_kv_used, fastest_weighted,
    session_sticky, adapter_affinity, model_affinity, prefix_aware, cheapest_first, or a plugin's name."""
    scrape_interval_s: NonNegative = 0.0
    """How often the router reads the replicas' signals [s]; 0: it always sees the present."""


class UserProcess(Spec):
    """A process of a plugin's, or of the notebook's, that acts on the datacentre while it runs."""

    model_config = ConfigDict(extra="allow")

    process: str = Field(min_length=1)
    """The name of its function; what stands beside it are its parameters. `chaos` is short for `{process: chaos}`."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        return {"process": given} if isinstance(given, str) else given


class Scenario(Spec):
    """One question, ready to run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run directory."""
    description: str = ""
    """The question that this scenario answers."""
    model: str
    """A model of the catalogue, a path to a profile, or a Hugging Face config.json; what is asked for and served where
    classes and pools name no other."""
    horizon_s: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    """Requests arrive for this long [s], at most 1e9 (31 years); what is in flight then is served to the end. A trace may leave it out."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Decides every random draw."""
    workload: Workload
    """What arrives."""
    router: Router = Router()
    """Who decides where a request goes."""
    admission: Admission = Admission()
    """Who is turned away; nobody but what never fits when absent."""
    pools: list[Pool] = Field(min_length=1)
    """What serves."""
    slo: Slo = Slo()
    """What a good answer is."""
    facility: Facility = Facility()
    """The building."""
    regions: list[Region] = Field(default_factory=list, max_length=1000)
    """Where requests come from and pools stand; everything is in one place when empty."""
    start_utc_h: Annotated[float, Field(ge=0, lt=24)] = 0.0
    """Time of the day at which the run begins, by UTC [h]; routers that follow the sun go by it."""
    failures: Failures = Failures()
    """What breaks."""
    phases: list[Phase] = Field(default_factory=list, max_length=1000)
    """Outages, power caps and upgrades at given times."""
    plugins: list[str] = Field(default_factory=list)
    """Python files with your own policies, relative to the scenario."""
    processes: list[UserProcess] = Field(default_factory=list)
    """What acts on the datacentre besides: functions of the plugins that are marked @process, with their parameters."""
    sample_interval_s: Positive | None = None
    """Spacing of the timeline [s]; a 400th of the horizon, at least 1 s, when absent."""
    cells: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts that the service is split into: a request goes to the one that the hash of its session (or id) names, and each
    has a share of every pool's replicas, its own router and autoscalers. They know nothing of each other, so
    `infersim run --workers N` runs them side by side."""
    keep_requests: Annotated[int, Field(ge=1, le=10**9)] = 2_000_000
    """Most requests that get a row of their own in the results. Of a longer run a half do, a quarter and so on, chosen by
    the hash of their id; counts, sums and means stay exact, and percentiles come from histograms (within 0.4 %)."""
    _origin: "Document | None" = PrivateAttr(default=None)

    @property
    def origin(self) -> "Document | None":
        """The file that it was read from, for messages and relative paths; None when it was made in Python."""
        return self._origin

    def read_from(self, document: "Document") -> "Scenario":
        """The same scenario with its `origin`."""
        scenario = self.model_copy()
        scenario._origin = document
        return scenario

    @property
    def class_slos(self) -> list[Slo]:
        """The SLO of each class of requests, in their order: its own, or the scenario's; one without classes."""
        return [tenant.slo or self.slo for tenant in self.workload.classes or []] or [self.slo]

    def __eq__(self, other: object) -> bool:
        """Whether both ask the same; where they were read does not matter."""
        return isinstance(other, Scenario) and self.model_dump() == other.model_dump()

    @model_validator(mode="after")
    def _consistent(self) -> "Scenario":
        names = [pool.name for pool in self.pools]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise wrong_at(("pools", index, "name"), f"two pools are called {name}; give each its own name")
        if self.sample_interval_s and self.horizon_s and self.sample_interval_s * MOST_SAMPLES < self.horizon_s:
            least = self.horizon_s / MOST_SAMPLES
            what = f"found {self.sample_interval_s:g}, more than {MOST_SAMPLES:,} samples in {self.horizon_s:g} s"
            raise wrong_at(("sample_interval_s",), f"{what}; use at least {least:g}, or leave it out")
        for index, pool in enumerate(self.pools if self.cells > 1 else ()):
            fewest = "max" if pool.autoscaler else "initial"
            if getattr(pool.replicas, fewest) < self.cells:
                found = f"found {getattr(pool.replicas, fewest)} replicas for {self.cells} cells"
                raise wrong_at(("pools", index, "replicas", fewest), f"{found}; give each cell at least one")
        if self.admission.max_queued is not None and self.admission.max_queued < self.cells:
            what = f"found {self.admission.max_queued} for {self.cells} cells"
            raise wrong_at(("admission", "max_queued"), f"{what}; give each cell at least one")
        if self.horizon_s is None and not self.workload.ends:
            raise wrong_at(("horizon_s",), "is missing; say for how long requests arrive [s]")
        return self
