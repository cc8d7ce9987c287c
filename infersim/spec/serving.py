"""How a replica serves: batches, queue, KV cache, speculation, and the link between prefill and decode.

Not here: the pool that these are settings of (`pool.py`).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, NonNegative, Positive, Spec, wrong_at

Weight = Annotated[int, Field(ge=0, le=1_000_000)]


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
    """Most sequences in a step; when absent the engine's default on this chip, or as many as max_num_batched_tokens leaves room for."""
    max_num_batched_tokens: Count | None = None
    """Most tokens in a step; when absent the engine's default on this chip."""

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
    watermark: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the blocks that admissions leave free while the batch is not empty; the engine's when absent."""
    admission: Literal["as_needed", "promised"] | None = None
    """Who is admitted: prompts that find blocks now (`as_needed`), or only requests whose blocks to the end are free beside those that
    the batch will need (`promised`: nobody is ever preempted for want of blocks, and fewer run at a time); the engine's when absent."""
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
