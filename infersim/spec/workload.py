"""What arrives: when (`arrivals.py`) and how long (`lengths.py`), alone or as a mix of classes.

Not here: drawing it (`infersim/workload/generate.py`).
"""

from typing import Annotated

from pydantic import Field, model_validator

from infersim.spec.arrivals import Arrivals, ServeGen
from infersim.spec.base import Fraction, Spec, wrong_at
from infersim.spec.clients import Patience, RateLimit, Retries
from infersim.spec.lengths import Lengths
from infersim.spec.slo import Slo
from infersim.spec.structure import Structure

LENGTHS = ("input_tokens", "output_tokens")


class Tenant(Spec):
    """A class of requests with its own lengths, and its own arrivals or a share of the workload's."""

    name: str = Field(min_length=1)
    """Unique in the workload."""
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

    @model_validator(mode="after")
    def _one_source(self) -> "Tenant":
        if (self.share is None) == (self.arrivals is None):
            found = "is missing" if self.share is None else "found both share and arrivals"
            raise wrong_at(("share",), f"{found}; give a share of the workload's arrivals, or arrivals of its own")
        return self


class Workload(Spec):
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

    @model_validator(mode="after")
    def _complete(self) -> "Workload":
        if self.classes is None:
            if self.arrivals is None:
                raise wrong_at(("arrivals",), "is missing; say when requests come")
            _check_lengths(self, self.arrivals, self, ())
            return self
        _check_names(self.classes)
        _check_shares(self)
        for index, tenant in enumerate(self.classes):
            _check_lengths(tenant, tenant.arrivals or self.arrivals, self, ("classes", index))
        return self

    @property
    def ends(self) -> bool:
        """Whether the arrivals end by themselves, so that a scenario needs no horizon."""
        processes = [self.arrivals] if self.classes is None else [tenant.arrivals for tenant in self.classes]
        return all(process is not None and process.process == "trace" and not process.loop for process in processes)

    def of_class(self, tenant: Tenant) -> "Workload":
        """The class as a workload of its own: its arrivals and lengths, the workload's where it has none."""
        own = {key: getattr(tenant, key) for key in ("arrivals", *LENGTHS, "length_correlation", "structure")}
        traced = tenant.arrivals is not None and tenant.arrivals.process == "trace"
        given = {
            key: value for key, value in own.items() if value is not None or (traced and key in (*LENGTHS, "structure"))
        }
        return self.model_copy(update={"classes": None, **given})


def _check_lengths(given: Tenant | Workload, arrivals: Arrivals | None, workload: Workload, path: tuple) -> None:
    """Requests have lengths: a trace's own, or both given; ServeGen's clients may bring theirs."""
    traced = arrivals is not None and arrivals.process == "trace"
    optional = traced or (isinstance(arrivals, ServeGen) and arrivals.lengths_file is not None)
    for key in LENGTHS:
        if traced and getattr(given, key) is not None:
            raise wrong_at((*path, key), f"a trace brings its own lengths; remove {key}")
        if not optional and getattr(given, key) is None and getattr(workload, key) is None:
            raise wrong_at((*path, key), "is missing; say how long requests are")
    if given.structure is not None and (traced or isinstance(arrivals, ServeGen)):
        raise wrong_at((*path, "structure"), "recorded requests bring their own structure; remove structure")
    if traced and given.length_correlation:
        raise wrong_at((*path, "length_correlation"), "a trace brings its own lengths; remove length_correlation")


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
    if workload.arrivals.process in ("trace", "servegen"):
        what = f"{workload.arrivals.process} brings whole requests, which cannot be shared out"
        raise wrong_at(("arrivals",), f"{what}; give it to one class as its own arrivals")
    if abs(sum(shares) - 1) > 1e-6:
        raise wrong_at(("classes",), f"the shares sum to {sum(shares):g}; they must sum to 1")
