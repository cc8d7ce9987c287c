"""What a published measurement is, once read: one run of one deployment under one load, and what was measured of it.

Not here: reading tables (`measurements.py`), serving cases (`resimulation.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from infersim.cost.measured import Measured
from infersim.spec import catalogue
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.studies.errors import StudyError
from infersim.studies.names import chip_name, engine_name, model_name


@dataclass(frozen=True)
class Row:
    """One measured number, of the whole system, in the unit that the metric's name ends in."""

    labels: dict[str, Any]
    """What identifies it in its file: id, or run and stage."""
    metric: str
    """output_tok_s, total_tok_s, req_s, tok_s_user, or ttft_ms, tpot_ms, itl_ms, e2e_ms."""
    statistic: str
    """mean, p50, p90 or p99."""
    actual: float
    stage: str = "all"
    """Which stage of the load it was measured in."""
    every_token: bool = False
    """An ITL that is E2E over all tokens, the first included, as some tools define it."""
    gaps: float | None = None
    """Gaps between what a client received that a mean ITL was taken over, where these are fewer than its tokens."""


@dataclass(frozen=True)
class Load:
    """What arrives."""

    kind: str
    """offline_throughput, fixed_batch, single_stream, closed_loop, server, online or requests."""
    prompt: float = 0.0
    """Mean prompt [tokens]."""
    output: float = 0.0
    """Mean output [tokens]."""
    varied: float = 0.0
    """Coefficient of variation of both lengths; 0 where all requests are alike."""
    longest: int = 0
    """Longest output, where one is set [tokens]; 0 for none."""
    requests: int = 0
    """How many requests; 0 lets the re-simulation choose."""
    users: int = 0
    """Users of a closed loop, or sequences of a fixed batch."""
    ramp_counts: bool = False
    """Whether a closed loop's first requests, which all come at once, count in the statistics."""
    cold_s: float = 0.0
    """What the first prompts of a closed loop wait for: kernels that a new server loads, compiles and tunes [s]."""
    rate_rps: float = 0.0
    """Poisson rate of a server [1/s]."""
    beams: int = 1
    """Sequences that are generated for each request."""
    stages: tuple[tuple[str, float, float], ...] = ()
    """(name, rate [1/s], seconds) of an online run, one after the other."""
    systems: int = 0
    """Distinct system prompts of an online run."""
    conversations: int = 0
    """Distinct prompts that begin with each."""
    system_tokens: int = 0
    """Length of the system prompt [tokens]."""
    trace: tuple[tuple[float, int, int], ...] = ()
    """(arrival [s], prompt, output) of single requests."""


@dataclass(frozen=True)
class Case:
    """One deployment under one load, and what was measured of it."""

    name: str
    model: Model
    hardware: Hardware
    engine: Engine
    tensor: int
    pipeline: int
    expert: int
    attention_data: int
    chips: int | None
    """Chips of a replica of an SRAM machine."""
    replicas: int
    weights: str
    kv_cache: str
    load: Load
    rows: tuple[Row, ...]
    group: str
    """Rows of one group come from one source, chip and model."""
    fitted: bool = True
    """Whether cross-validation fits to it; not where its source's software hides what the chip can do."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    blocks: int | None = None
    slots: int | None = None
    """Sequences that every step was compiled for, where a row says so."""
    slot_tokens: int | None = None
    """Tokens of each slot's cache, where a row says that it was read whole."""
    prefix_caching: bool = False
    admission: str | None = None
    """As of an engine, where a source ran it otherwise."""
    each: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """What was measured of each request, where a run was recorded so, by metric in the order of arrival; NaN where a
    request has none."""
    public_ttft_ms: dict[str, float] = field(default_factory=dict)
    """TTFT by statistic that a client saw of a service shared with strangers, over a public network: no prediction can
    hold what it waited there, so E2E is predicted from it on."""
    polls_every: int = 1
    """Steps from one look for new requests to the next, where the engine was started so."""
    streams_every: int = 1
    """Tokens that the engine sends at a time, the first among them, where it was started so."""
    drafts: tuple[float, ...] = ()
    """Chances of each token that the model's own layer for several tokens drafts to be accepted; none without drafts."""
    prefill_replicas: int = 0
    """Replicas that only prefill, beside `replicas` that only decode; 0 where every replica does both."""
    prefill_layout: tuple[int, int, int] | None = None
    """Their (tensor, expert, attention_data), where it is another."""
    assumed: tuple[str, ...] = ()
    measured: Measured | None = None
    """Tables of operators to price it by, instead of the analytic model."""


@dataclass(frozen=True)
class Refused:
    """A row that cannot be re-simulated."""

    labels: dict[str, Any]
    metric: str
    actual: float
    reason: str
    kind: str
    hardware: str
    engine: str
    statistic: str = "mean"


@dataclass
class Reading:
    """What a file holds."""

    cases: list[Case] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class CannotSay(Exception):
    """A row does not say enough, or says what infersim does not know."""


def known_model(text: str) -> Model:
    """The catalogue's model; CannotSay if there is none."""
    return _known(catalogue.model, model_name(text), "model", text)


def known_chip(text: str) -> Hardware:
    """The catalogue's chip; CannotSay if there is none."""
    return _known(catalogue.hardware, chip_name(text), "chip", text)


def known_engine(text: str, hardware: Hardware) -> Engine:
    """The catalogue's engine, as it is on a chip; CannotSay if there is none."""
    found: Engine = _known(catalogue.engine, engine_name(text, hardware.name), "engine", text)
    return found.on(hardware)


def _known(look_up: Any, name: str | None, what: str, text: str) -> Any:
    if name is not None:
        try:
            return look_up(name)
        except catalogue.UnknownName:
            pass
    raise CannotSay(f"{what} {text} is not in the catalogue")


def unserved(cases: Sequence[Case], option: str) -> Callable[[int, str], StudyError]:
    """The error of a case that could not be served, by its number."""
    return lambda number, why: StudyError(
        f"the case {cases[number].name} could not be served: {why}", f"validate {option}"
    )
