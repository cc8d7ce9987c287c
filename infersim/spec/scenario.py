"""A scenario: which model, on which chips, under which traffic, decided by whom, at which price, within which SLO.

Not here: the traffic (`workload.py`), what serves (`pool.py`), reading YAML (`load.py`) and names of chips, models and engines (`catalogue.py`).
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at
from infersim.spec.clients import Admission
from infersim.spec.facility import Facility
from infersim.spec.faults import Failures
from infersim.spec.phases import Phase
from infersim.spec.pool import Pool
from infersim.spec.regions import Region
from infersim.spec.slo import Slo
from infersim.spec.workload import Workload

if TYPE_CHECKING:
    from infersim.spec.document import Document

MOST_SAMPLES = 1_000_000
"""Rows of the longest timeline."""


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
