"""What arrives: when (`arrivals.py`) and how long (`lengths.py`), alone or as a mix of classes.

Not here: drawing it (`infersim/workload/generate.py`).
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.arrivals import Arrivals, ServeGen
from infersim.spec.base import Fraction, wrong_at
from infersim.spec.cascade import Cascade, Lane, check_cascade, lanes_of
from infersim.spec.clients import Patience, RateLimit, Retries
from infersim.spec.closed import ClosedLoop
from infersim.spec.kinds import LENGTHS_OF, Kind, OfKind, check_kind
from infersim.spec.lengths import Lengths
from infersim.spec.slo import Slo
from infersim.spec.structure import Agents, Reasoning, Sessions, Structure

LENGTHS = ("input_tokens", "output_tokens")
SHARED_KEYS = ("length_correlation", "structure", "cascade", *OfKind.model_fields)
"""What a class has of its own or else of the workload, beside arrivals and lengths."""
NEED_ANSWERS = ("sessions", "agents", "reasoning")
"""Structures that are made of answers."""


class Tenant(OfKind):
    """A class of requests with its own lengths, and its own arrivals or a share of the workload's."""

    name: str = Field(min_length=1)
    """Unique in the workload."""
    model: str | None = None
    """The model that its requests ask for; the scenario's when absent."""
    share: Fraction | None = None
    """Part of the workload's arrivals; the shares sum to 1."""
    arrivals: Arrivals | None = None
    """When its requests come, instead of a share."""
    input_tokens: Lengths | None = None
    """Prompt lengths; the workload's when absent."""
    output_tokens: Lengths | None = None
    """Output lengths; the workload's when absent."""
    length_correlation: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Rank correlation of the two; the workload's when absent."""
    structure: Structure | None = None
    """What its prompts are made of; the workload's when absent."""
    cascade: Cascade | None = None
    """The models that its questions are put to in turn, each to those that the one before could not answer; the
    workload's when absent."""
    priority: Annotated[int, Field(ge=-(10**9), le=10**9)] = 0
    """Higher is served first where the queue order is by priority."""
    slo: Slo | None = None
    """What a good answer is for this class; the scenario's when absent."""
    patience: Patience | None = None
    """When its clients give an attempt up; the workload's when absent."""
    retries: Retries | None = None
    """How they try again; the workload's when absent."""
    rate_limit: RateLimit | None = None
    """Most tokens that the service takes from them; the workload's when absent."""
    region: str | None = None
    """The region that its requests come from; the workload's when absent."""

    @model_validator(mode="after")
    def _one_source(self) -> "Tenant":
        if (self.share is None) == (self.arrivals is None):
            found = "is missing" if self.share is None else "found both share and arrivals"
            raise wrong_at(("share",), f"{found}; give a share of the workload's arrivals, or arrivals of its own")
        return self


class Workload(OfKind):
    """What arrives."""

    arrivals: Arrivals | None = None
    """When requests come; only classes with a share, or none, need it."""
    input_tokens: Lengths | None = None
    """Prompt lengths; a trace brings its own."""
    output_tokens: Lengths | None = None
    """Output lengths; a trace brings its own."""
    length_correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Rank correlation (Spearman) of prompt and output length, by a Gaussian copula."""
    structure: Structure | None = None
    """What prompts are made of, and which begin alike; a trace brings its own."""
    cascade: Cascade | None = None
    """The models that questions are put to in turn; every pool takes every request when absent."""
    max_context_tokens: Annotated[int, Field(ge=2, le=2**53)] | None = None
    """Longest prompt and output together: prompts are cut to one less, then outputs to what is left, a trace's too;
    a session ends before the turn that exceeds it."""
    patience: Patience | None = None
    """When its clients give an attempt up; never when absent."""
    retries: Retries | None = None
    """How they try again; they do not when absent."""
    rate_limit: RateLimit | None = None
    """Most tokens that the service takes from them; any number when absent; with classes, from each."""
    classes: list[Tenant] | None = Field(default=None, min_length=1, max_length=1000)
    """A mix of tenants; without, all requests are of one class."""
    region: str | None = None
    """The region that requests come from; needed where the scenario has regions and classes do not say it."""

    @model_validator(mode="after")
    def _complete(self) -> "Workload":
        if self.classes is None:
            if self.arrivals is None:
                raise wrong_at(("arrivals",), "is missing; say when requests come")
            check_kind(self, ())
            _check_lengths(self, self.arrivals, self, ())
            _check_cascade(self, ())
            return self
        _check_names(self.classes)
        _check_shares(self)
        for index, tenant in enumerate(self.classes):
            check_kind(self.of_class(tenant), ("classes", index))
            _check_lengths(tenant, tenant.arrivals or self.arrivals, self, ("classes", index))
            _check_cascade(self.of_class(tenant), ("classes", index) if tenant.cascade else ())
        return self

    @property
    def ends(self) -> bool:
        """Whether the arrivals end by themselves, so that a scenario needs no horizon."""
        processes = [self.arrivals] if self.classes is None else [tenant.arrivals for tenant in self.classes]
        return all(process is not None and process.process == "trace" and not process.loop for process in processes)

    @property
    def parts(self) -> list["Workload"]:
        """Each class as a workload of its own, in their order; the workload itself without classes."""
        return [self.of_class(tenant) for tenant in self.classes or []] or [self]

    @property
    def waits(self) -> bool:
        """Whether some requests are sent only after others have ended: users in a closed loop, agents and cascades."""
        return self.cascades or any(
            isinstance(part.arrivals, ClosedLoop) or isinstance(part.structure, Agents) for part in self.parts
        )

    @property
    def cascades(self) -> bool:
        """Whether some questions are put to several models in turn."""
        return any(part.cascade for part in self.parts)

    @property
    def lanes(self) -> list[Lane]:
        """What the data plane takes for classes of requests: one for each class, then the later steps of cascades."""
        return lanes_of([part.cascade for part in self.parts])

    def of_class(self, tenant: Tenant) -> "Workload":
        """The class as a workload of its own: its arrivals and lengths, the workload's where it has none."""
        own = {key: getattr(tenant, key) for key in ("arrivals", *LENGTHS, *SHARED_KEYS)}
        traced = tenant.arrivals is not None and tenant.arrivals.process == "trace"
        given = {
            key: value for key, value in own.items() if value is not None or (traced and key in (*LENGTHS, "structure"))
        }
        return self.model_copy(update={"classes": None, **given})


def _check_lengths(given: Tenant | Workload, arrivals: Arrivals | None, workload: Workload, path: tuple) -> None:
    """Requests have lengths: a trace's own, or both given; ServeGen's clients may bring theirs."""
    kind = given.kind or workload.is_kind
    traced = arrivals is not None and arrivals.process == "trace"
    _check_no_lengths(given, arrivals, kind, path)
    optional = traced or (isinstance(arrivals, ServeGen) and arrivals.lengths_file is not None)
    for key in LENGTHS:
        if traced and getattr(given, key) is not None:
            raise wrong_at((*path, key), f"a trace brings its own lengths; remove {key}")
        if key in LENGTHS_OF[kind] and not optional and getattr(given, key) is None and getattr(workload, key) is None:
            raise wrong_at((*path, key), "is missing; say how long requests are")
    if given.structure is not None and (traced or isinstance(arrivals, ServeGen)):
        raise wrong_at((*path, "structure"), "recorded requests bring their own structure; remove structure")
    structure = given.structure or workload.structure
    if isinstance(arrivals, ClosedLoop) and (
        isinstance(structure, Sessions | Agents) or (isinstance(structure, Reasoning) and structure.samples > 1)
    ):
        what = f"a user in a closed loop sends one request at a time, and {structure.kind} are several"
        raise wrong_at((*path, "arrivals"), f"{what}; let sessions begin by a rate, or choose another structure")
    if traced and given.length_correlation:
        raise wrong_at((*path, "length_correlation"), "a trace brings its own lengths; remove length_correlation")


def _check_cascade(asked: Workload, path: tuple) -> None:
    """A question that goes from model to model is a completion, and nobody waits for it."""
    if asked.cascade is None:
        return
    check_cascade(asked.cascade, path)
    here = (*path, "cascade")
    if asked.is_kind != "completion":
        raise wrong_at(here, f"is for completions, and this is kind {asked.is_kind}; remove it")
    if isinstance(asked.arrivals, ClosedLoop) or isinstance(asked.structure, Agents):
        who = "users in a closed loop" if isinstance(asked.arrivals, ClosedLoop) else "agents"
        raise wrong_at(here, f"{who} wait for one model's answer; let questions come by a rate, or remove it")
    if asked.adapters is not None:
        raise wrong_at((*path, "adapters"), "are those of one model, and a cascade has several; remove one of the two")


def _check_no_lengths(given: Tenant | Workload, arrivals: Arrivals | None, kind: Kind, path: tuple) -> None:
    """What a kind of request does not have is not given."""
    for key in LENGTHS:
        if key not in LENGTHS_OF[kind] and getattr(given, key) is not None:
            raise wrong_at((*path, key), f"{'an' if kind[0] in 'ei' else 'a'} {kind} has none; remove it")
    if kind == "image" and arrivals is not None and arrivals.process in ("trace", "servegen"):
        raise wrong_at((*path, "arrivals"), f"{arrivals.process} brings tokens, which images have none of; use another")
    unasked = kind == "image" or (kind == "embedding" and given.structure and given.structure.kind in NEED_ANSWERS)
    if given.structure is not None and unasked:
        raise wrong_at((*path, "structure"), f"{given.structure.kind} goes with completions; remove it")


def _check_names(classes: list[Tenant]) -> None:
    names = [tenant.name for tenant in classes]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise wrong_at(("classes", index, "name"), f"two classes are called {name}; give each its own name")


def _check_shares(workload: Workload) -> None:
    """Shares divide arrivals that are there, wholly, and no trace."""
    shares = [tenant.share for tenant in workload.classes or [] if tenant.share is not None]
    if not shares:
        if workload.arrivals is not None:
            raise wrong_at(("arrivals",), "no class takes a share of them; remove them, or give classes a share")
        return
    if workload.arrivals is None:
        raise wrong_at(("arrivals",), "is missing; the classes with a share divide them")
    if workload.arrivals.process == "closed_loop":
        what = "users in a closed loop send one request after the other, which cannot be shared out"
        raise wrong_at(("arrivals",), f"{what}; give each class its own users")
    if workload.arrivals.process in ("trace", "servegen"):
        what = f"{workload.arrivals.process} brings whole requests, which cannot be shared out"
        raise wrong_at(("arrivals",), f"{what}; give it to one class as its own arrivals")
    if abs(sum(shares) - 1) > 1e-6:
        raise wrong_at(("classes",), f"the shares sum to {sum(shares):g}; they must sum to 1")
