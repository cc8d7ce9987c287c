"""Who changes how many replicas a pool has: every autoscaler that a scenario can name, with its parameters.

Defaults are those of what an autoscaler mirrors. Not here: what they do (`infersim/policies/autoscaling/`), and their
moves of HPA (`scaling_rules.py`).
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from infersim.spec.base import Fraction, NonNegative, Positive, Spec, wrong_at
from infersim.spec.scaling_rules import Behavior

LEAST_INTERVAL_S = 0.1
Interval = Annotated[float, Field(ge=LEAST_INTERVAL_S, allow_inf_nan=False)]


class _Asked(Spec):
    interval_s: Interval = 15.0
    """Time between decisions [s]."""
    scrape_lag_s: NonNegative = 0.0
    """How old the load is that it sees [s]; how many replicas there are it always knows."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the policy is made with: all that is its own."""
        common = {"policy", *_Cooling.model_fields}
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in common}
        return own | (self.model_extra or {})

    @property
    def cooldowns_s(self) -> tuple[float, float]:
        """Least time between two scale-ups, and from any change to a scale-down [s]."""
        return 0.0, 0.0

    @property
    def periods_s(self) -> tuple[float, ...]:
        """How often it is asked [s]."""
        return (self.interval_s,)


class _Cooling(_Asked):
    up_cooldown_s: NonNegative = 0.0
    """Least time between two scale-ups [s]."""
    down_cooldown_s: NonNegative = 300.0
    """Least time from any change to a scale-down [s]."""

    @property
    def cooldowns_s(self) -> tuple[float, float]:
        """As given."""
        return self.up_cooldown_s, self.down_cooldown_s


class Fixed(_Asked):
    """Always so many."""

    policy: Literal["fixed"]
    """The same number, brought back when replicas are lost."""
    replicas: int = Field(ge=0)
    """How many."""


class Rule(Spec):
    """From a moment on, so many replicas."""

    at_s: NonNegative | None = None
    """Second of the run."""
    cron: str | None = None
    """minute hour day-of-month month day-of-week, as cron writes it: "0 8 * * mon-fri"."""
    replicas: int = Field(ge=0)
    """How many from then on."""

    @model_validator(mode="after")
    def _one_moment(self) -> "Rule":
        if (self.at_s is None) == (self.cron is None):
            raise ValueError("give either at_s, a second of the run, or cron, a time of the week")
        return self

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, text: str | None) -> str | None:
        from croniter import croniter

        if text is not None and (len(text.split()) != 5 or not croniter.is_valid(text)):
            raise ValueError(f'found "{text}"; write minute hour day-of-month month day-of-week, such as "0 8 * * 1-5"')
        return text


class Schedule(_Asked):
    """By the clock, as cron or KEDA's cron scaler."""

    policy: Literal["schedule"]
    """The replicas of the rule that came into force last; of two at the same time, the later in the list."""
    rules: list[Rule] = Field(min_length=1, max_length=10_000)
    """When, and how many."""
    starts: str = Field(default="2024-01-01T00:00", pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$")
    """Date and time of second 0, for cron; a Monday, midnight, when absent."""

    @field_validator("starts")
    @classmethod
    def _is_a_date(cls, text: str) -> str:
        from datetime import datetime

        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(f"found {text}, which is no date: {error}; write 2024-01-01T08:00") from None
        return text


class TargetConcurrency(_Cooling):
    """ceil(requests in flight / target)."""

    policy: Literal["target_concurrency"]
    """Requests in flight over the target, with cool-downs."""
    target: Positive
    """Requests in flight for each replica."""


class QueueDepth(_Cooling):
    """Grows with the queue, shrinks one by one."""

    policy: Literal["queue_depth"]
    """At most `target` waiting requests for each replica, with cool-downs."""
    target: Positive
    """Requests waiting for each replica."""


Metric = Literal["concurrency", "waiting", "utilisation", "kv_cache", "arrival_rate"]
SHARES = ("utilisation", "kv_cache")
"""Metrics that are shares, of which nobody has more than 1."""


def _reachable(spec: Any) -> Any:
    """A share of more than 1 is never reached."""
    if spec.metric in SHARES and spec.target > 1:
        what = f"found {spec.target:g}; {spec.metric} is a share, which never exceeds 1"
        raise wrong_at(("target",), f"{what}: write {spec.target / 100:g} for {spec.target:g} %")
    return spec


class KubernetesHpa(_Asked):
    """The Horizontal Pod Autoscaler, autoscaling/v2, on one metric of the pods."""

    policy: Literal["kubernetes_hpa"]
    """desired = ceil(current x metric / target), within tolerance, stabilisation and scaling policies."""
    metric: Metric = "concurrency"
    """What is averaged over ready replicas: requests in flight, requests waiting, share of time in steps, share of the
    KV cache in use, requests a second."""
    target: Positive
    """What the average should be (averageValue)."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """How far metric / target may be from 1 without a change (--horizontal-pod-autoscaler-tolerance)."""
    behavior: Behavior = Behavior()
    """Stabilisation windows and scaling policies."""

    _reaches = model_validator(mode="after")(_reachable)


class KedaQueueLength(_Asked):
    """KEDA on the length of the queue: it activates and deactivates, the HPA beneath scales from 1 up."""

    policy: Literal["keda_queue_length"]
    """ceil(queue / queue_length) by HPA; to zero after cooldown_s without activity, from zero at the next poll."""
    queue_length: Positive
    """Requests for each replica (the trigger's queueLength)."""
    counts: Literal["waiting", "in_flight"] = "waiting"
    """What is in the queue: requests that wait, or all that have not ended; those without a replica in both."""
    activation_queue_length: NonNegative = 0.0
    """The scaler is active while the queue is longer (activationQueueLength)."""
    polling_interval_s: Interval = 30.0
    """How often KEDA looks whether it is active [s] (pollingInterval)."""
    cooldown_s: NonNegative = 300.0
    """How long after it was last active the last replicas go [s] (cooldownPeriod)."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The HPA's."""
    behavior: Behavior = Behavior()
    """The HPA's (advanced.horizontalPodAutoscalerConfig)."""

    @property
    def periods_s(self) -> tuple[float, ...]:
        """The HPA's sync period, and KEDA's polling interval [s]."""
        return self.interval_s, self.polling_interval_s


class KnativeKpa(_Asked):
    """The Knative Pod Autoscaler."""

    policy: Literal["knative_kpa"]
    """ceil(concurrency / target) over a stable window, over a short one while it panics; to zero after a grace."""
    metric: Literal["concurrency", "rps"] = "concurrency"
    """Requests in flight, those without a replica included, or requests a second."""
    target: Positive
    """For each replica (container-concurrency-target-default, requests-per-second-target-default)."""
    target_utilisation: Fraction = 0.7
    """Part of the target that is aimed at (container-concurrency-target-percentage)."""
    interval_s: Interval = 2.0
    """Time between decisions [s] (tick-interval)."""
    stable_window_s: Interval = 60.0
    """The stable window [s] (stable-window)."""
    panic_window: Fraction = 0.1
    """The panic window as a share of the stable one (panic-window-percentage)."""
    panic_threshold: Annotated[float, Field(ge=1.1, le=10)] = 2.0
    """It panics when the panic window wants so many times the ready replicas (panic-threshold-percentage)."""
    max_scale_up_rate: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1000.0
    """At most ceil(rate x ready) replicas (max-scale-up-rate)."""
    max_scale_down_rate: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    """At least floor(ready / rate) replicas (max-scale-down-rate)."""
    scale_down_delay_s: NonNegative = 0.0
    """It scales down to the most that was wanted within so long [s] (scale-down-delay)."""
    scale_to_zero_grace_s: NonNegative = 30.0
    """How long after it has become inactive the last replica goes [s] (scale-to-zero-grace-period)."""


class SloFeedback(_Asked):
    """More when requests miss the SLO, one fewer when they have met it for long (AIMD)."""

    policy: Literal["slo_feedback"]
    """Multiplicative increase by the share that missed, additive decrease after patience_s."""
    objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of requests that should meet the TTFT, and the TPOT, limit of their SLO."""
    window_s: Interval = 60.0
    """Requests that ended within so long are judged [s]."""
    gain: Positive = 1.0
    """Growth: replicas x gain x share that missed too much, at least one."""
    patience_s: Positive = 300.0
    """After so long without a miss or a change one replica goes [s]."""


class Queueing(_Asked):
    """The fewest replicas that hold the SLO by queueing theory, with service times measured as it runs."""

    policy: Literal["queueing"]
    """A state-dependent M/M/1 queue for each replica: the most load that keeps TPOT and TTFT, inverted."""
    objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the time in which a replica may not hold more requests than the SLO allows."""
    window_s: Interval = 120.0
    """Over which arrivals and service are measured [s]."""
    down_after_s: NonNegative = 300.0
    """It scales down to the most that was wanted within so long [s]."""


class _Forecast(_Asked):
    target: Positive
    """Requests in flight for each replica."""
    ahead_s: Positive | None = None
    """How far ahead it looks [s]; a cold start and an interval when absent."""
    bin_s: Interval = 60.0
    """Requests in flight are averaged over so long [s]."""
    refit_s: Positive = 3600.0
    """How often its constants are fitted anew [s]."""


class Seasonal(_Forecast):
    """What was in flight at this time of earlier seasons; what is in flight now before there is one."""

    policy: Literal["seasonal"]
    """Mean over earlier seasons, decomposed by statsmodels' STL, plus the present trend."""
    season_s: Positive = 86400.0
    """Length of a season [s]."""
    bin_s: Interval = 300.0
    """Requests in flight are averaged over so long [s]."""


class HoltWinters(_Forecast):
    """Exponential smoothing of level, trend and, with season_s, season."""

    policy: Literal["holt_winters"]
    """statsmodels' ExponentialSmoothing of requests in flight, with a damped trend."""
    season_s: Positive | None = None
    """Length of a season [s]; none when absent (Holt's linear method)."""


class Oracle(_Asked):
    """Knows every request before it comes, and has replicas at once."""

    policy: Literal["oracle"]
    """The fewest replicas for the work that arrives, interval by interval; it cannot be bought."""
    interval_s: Interval = 15.0
    """It buys for so long at a time [s]."""
    headroom: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """How many times the least work it buys for; 1 is the bound that no fleet beats."""


class Own(_Cooling):
    """A class of a plugin, with whatever parameters its __init__ takes."""

    model_config = ConfigDict(extra="allow")

    policy: str
    """Its name in snake case."""


def _which(data: Any) -> str:
    """The tag of an autoscaler: its name if it is shipped."""
    policy = data.get("policy") if isinstance(data, dict) else getattr(data, "policy", None)
    return policy if isinstance(policy, str) and policy in NAMES else "own"


Autoscaler = Annotated[
    Annotated[Fixed, Tag("fixed")]
    | Annotated[Schedule, Tag("schedule")]
    | Annotated[TargetConcurrency, Tag("target_concurrency")]
    | Annotated[QueueDepth, Tag("queue_depth")]
    | Annotated[KubernetesHpa, Tag("kubernetes_hpa")]
    | Annotated[KedaQueueLength, Tag("keda_queue_length")]
    | Annotated[KnativeKpa, Tag("knative_kpa")]
    | Annotated[SloFeedback, Tag("slo_feedback")]
    | Annotated[Queueing, Tag("queueing")]
    | Annotated[Seasonal, Tag("seasonal")]
    | Annotated[HoltWinters, Tag("holt_winters")]
    | Annotated[Oracle, Tag("oracle")]
    | Annotated[Own, Tag("own")],
    Discriminator(_which),
]
NAMES = frozenset(
    {
        "fixed",
        "schedule",
        "target_concurrency",
        "queue_depth",
        "kubernetes_hpa",
        "keda_queue_length",
        "knative_kpa",
        "slo_feedback",
        "queueing",
        "seasonal",
        "holt_winters",
        "oracle",
    }
)
