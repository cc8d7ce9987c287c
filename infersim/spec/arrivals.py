"""When requests arrive: every arrival process that a scenario can name, and the replay of a recorded trace.

Not here: drawing them (`infersim/workload/arrivals.py`), how long requests are (`lengths.py`). Read `workload.py` next.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, NonNegative, Positive, Spec, wrong_at
from infersim.spec.closed import ClosedLoop
from infersim.spec.lengths import Lengths

LEAST_CV, MOST_CV = 1e-3, 1e3
Cv = Annotated[float, Field(ge=LEAST_CV, le=MOST_CV, allow_inf_nan=False)]
"""A coefficient of variation that a renewal process can draw; beyond, its shape leaves double precision."""


class Regular(Spec):
    """One arrival every 1/rate seconds, the first at 0."""

    process: Literal["constant"]
    """Equal gaps."""
    rate_rps: Positive
    """Arrivals [requests/s]."""


class Poisson(Spec):
    """Independent arrivals."""

    process: Literal["poisson"]
    """Exponential gaps."""
    rate_rps: Positive
    """Mean arrivals [requests/s]."""


class _Renewal(Spec):
    rate_rps: Positive
    """Mean arrivals [requests/s]."""
    cv: Cv
    """Coefficient of variation of the gaps; 1 is Poisson, more is burstier."""

    @model_validator(mode="before")
    @classmethod
    def _no_burstiness(cls, data: Any) -> Any:
        for key in ("burstiness", "smoothness"):
            if isinstance(data, dict) and key in data:
                shape = data[key]
                known = isinstance(shape, int | float) and not isinstance(shape, bool) and shape > 0
                right = f"cv: {shape**-0.5:.6g} (1/sqrt({shape:g}))" if known else f"cv: 1/sqrt({key})"
                meaning = f"{key} of vLLM and AIPerf is the shape of a Gamma, where less is burstier"
                raise wrong_at((key,), f"{meaning}; write {right}")
        return data


class Gamma(_Renewal):
    """Gamma renewal arrivals; CV 1 is Poisson, more is burstier (shape = 1/cv^2; vLLM's "burstiness" is the shape)."""

    process: Literal["gamma"]
    """Gamma gaps."""


class Weibull(_Renewal):
    """Weibull renewal arrivals; CV 1 is Poisson, more is burstier, with a heavier tail of gaps than a Gamma's."""

    process: Literal["weibull"]
    """Weibull gaps."""


class Mmpp(Spec):
    """Markov-modulated Poisson arrivals with any number of states; two states are on/off bursts."""

    process: Literal["mmpp"]
    """Poisson with a rate that jumps."""
    rates_rps: list[NonNegative] = Field(min_length=2)
    """Arrival rate in each state [requests/s]."""
    mean_sojourn_s: list[Positive] = Field(min_length=2)
    """Mean time in each state [s]."""
    transitions: list[list[NonNegative]] | None = None
    """Probability of each next state, a row for each state; when absent, the next of the list, then the first again."""

    @model_validator(mode="after")
    def _matching(self) -> "Mmpp":
        states = len(self.rates_rps)
        if states != len(self.mean_sojourn_s):
            found = f"found {len(self.mean_sojourn_s)} sojourns for the {states} states of rates_rps"
            raise wrong_at(("mean_sojourn_s",), f"{found}; give one for each rate")
        if max(self.rates_rps) == 0:
            raise wrong_at(("rates_rps",), "every rate is 0, so nothing would arrive; give at least one positive rate")
        if self.transitions is not None:
            _check_transitions(self.transitions, states)
        return self


def _check_transitions(rows: list[list[float]], states: int) -> None:
    """A row of probabilities for each state, nothing on the diagonal, and every state reached from every other."""
    if len(rows) != states or any(len(row) != states for row in rows):
        widths = ", ".join(str(len(row)) for row in rows)
        found = f"found {len(rows)} rows of {widths} for {states} states"
        raise wrong_at(("transitions",), f"{found}; give {states} rows of {states}")
    for state, row in enumerate(rows):
        if row[state] != 0:
            what = f"state {state} follows itself with probability {row[state]:g}"
            raise wrong_at(("transitions", state, state), f"{what}; write 0 and say so in mean_sojourn_s")
        if abs(sum(row) - 1) > 1e-6:
            raise wrong_at(("transitions", state), f"the row sums to {sum(row):g}; the probabilities of a row sum to 1")
    for start in range(states):
        reached, fresh = {start}, [start]
        while fresh:
            row = rows[fresh.pop()]
            new = [state for state in range(states) if row[state] > 0 and state not in reached]
            reached.update(new)
            fresh += new
        if len(reached) < states:
            lost = min(set(range(states)) - reached)
            raise wrong_at(("transitions", start), f"state {lost} is never reached from state {start}; connect them")


class RateSeries(Spec):
    """Poisson arrivals at a rate that is given step by step, as a list or as a file."""

    process: Literal["rate_series"]
    """Poisson with a given rate."""
    rates_rps: list[NonNegative] | None = Field(default=None, min_length=1)
    """Rate in each interval [requests/s]."""
    interval_s: Positive | None = None
    """Length of the intervals of rates_rps [s]."""
    file: str | None = None
    """CSV with the columns t_s,rate_rps (a rate holds until the next row, the last one as long as the one before), or
    ten-second counts of Azure 2024; sought like a trace."""
    rate_factor: Positive = 1.0
    """Multiplies every rate."""
    loop: bool = False
    """Begin again after the end; without, nothing arrives then."""

    @model_validator(mode="after")
    def _one_source(self) -> "RateSeries":
        if (self.rates_rps is None) == (self.file is None):
            found = "found both rates_rps and file" if self.file else "rates_rps is missing"
            raise wrong_at(("rates_rps",), f"{found}; give rates_rps with interval_s, or a file")
        if (self.rates_rps is None) != (self.interval_s is None):
            right = "give the length of the intervals [s]" if self.file is None else "a file brings its own times"
            raise wrong_at(("interval_s",), f"does not go with what is given; {right}")
        if self.rates_rps is not None and max(self.rates_rps) == 0:
            raise wrong_at(("rates_rps",), "every rate is 0, so nothing would arrive; give at least one positive rate")
        return self


class Harmonic(Spec):
    """One wave of the logarithm of the rate."""

    period_h: Positive
    """Length of the wave [h]: 24 for a day, 168 for a week."""
    cos: float
    """Amplitude of cos(2 pi t / period)."""
    sin: float
    """Amplitude of sin(2 pi t / period)."""


class Diurnal(Spec):
    """Poisson arrivals whose log-rate is a sum of daily and weekly waves."""

    process: Literal["diurnal"]
    """Poisson with a smooth rate."""
    rate_rps: Positive
    """Mean rate over the longest period [requests/s]."""
    harmonics: list[Harmonic] = Field(min_length=1, max_length=64)
    """Waves; t counts from midnight of the first day."""
    start_h: NonNegative = 0.0
    """Hours after that midnight at which the run begins [h]."""

    @model_validator(mode="after")
    def _bounded(self) -> "Diurnal":
        if sum(abs(wave.cos) + abs(wave.sin) for wave in self.harmonics) > 30:
            raise wrong_at(
                ("harmonics",), "the amplitudes sum to more than 30; they are of the natural log of the rate"
            )
        return self


class FlashCrowd(Spec):
    """Poisson arrivals with one viral spike: a steady rate, a straight rise, a plateau, an exponential decay."""

    process: Literal["flash_crowd"]
    """Poisson with a spike."""
    base_rps: NonNegative
    """Rate before the spike and long after it [requests/s]."""
    peak_rps: Positive
    """Rate at the top [requests/s]."""
    start_s: NonNegative
    """When the rise begins [s]."""
    rise_s: NonNegative
    """How long it rises [s]."""
    hold_s: NonNegative = 0.0
    """How long it stays at the top [s]."""
    decay_s: Positive
    """Time constant of the decay: the excess falls to 37 % in this time [s]."""

    @model_validator(mode="after")
    def _spike(self) -> "FlashCrowd":
        if self.peak_rps <= self.base_rps:
            raise wrong_at(("peak_rps",), f"found {self.peak_rps:g}, must exceed base_rps {self.base_rps:g}")
        return self


class Ramp(Spec):
    """Poisson arrivals whose rate goes straight from one value to another, for load tests."""

    process: Literal["ramp"]
    """Poisson with a straight rate."""
    from_rps: NonNegative
    """Rate up to start_s [requests/s]."""
    to_rps: NonNegative
    """Rate from the end of the ramp on [requests/s]."""
    start_s: NonNegative = 0.0
    """When the ramp begins [s]."""
    duration_s: Positive
    """How long it takes [s]."""

    @model_validator(mode="after")
    def _something(self) -> "Ramp":
        if self.from_rps == self.to_rps:
            raise wrong_at(("to_rps",), f"found {self.to_rps:g} at both ends; a ramp has two rates (or use poisson)")
        return self


class Step(Spec):
    """Poisson arrivals whose rate jumps at given times."""

    process: Literal["step"]
    """Poisson with a rate in steps."""
    rates_rps: list[NonNegative] = Field(min_length=2)
    """Rates, one after the other [requests/s]."""
    at_s: list[Positive] = Field(min_length=1)
    """When each following rate begins [s]; one fewer than rates."""

    @model_validator(mode="after")
    def _matching(self) -> "Step":
        if len(self.at_s) != len(self.rates_rps) - 1:
            found = f"found {len(self.at_s)} times for {len(self.rates_rps)} rates"
            raise wrong_at(("at_s",), f"{found}; give one for each rate after the first")
        for index in range(1, len(self.at_s)):
            if self.at_s[index] <= self.at_s[index - 1]:
                raise wrong_at(
                    ("at_s", index), f"found {self.at_s[index]:g} after {self.at_s[index - 1]:g}; times rise"
                )
        if max(self.rates_rps) == 0:
            raise wrong_at(("rates_rps",), "every rate is 0, so nothing would arrive; give at least one positive rate")
        return self


class Clients(Spec):
    """A synthetic pool of clients as ServeGen found them: few dominate, most are burstier than Poisson."""

    process: Literal["clients"]
    """Superposed Gamma and Weibull clients."""
    rate_rps: Positive
    """Rate of all clients together [requests/s]."""
    clients: Annotated[int, Field(ge=1, le=10_000)]
    """How many."""
    zipf_exponent: NonNegative = 1.5
    """The k-th client's rate is proportional to k to the minus this; 1.5 gives ten of a hundred 83 % of the traffic."""
    cv_p50: Cv = 1.2
    """Median of the clients' coefficients of variation (lognormal)."""
    cv_p90: Cv = 5.0
    """Their 90th percentile; equal to the median makes all clients alike."""
    weibull_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of clients with Weibull gaps; the rest have Gamma gaps."""

    @model_validator(mode="after")
    def _ordered(self) -> "Clients":
        if self.cv_p90 < self.cv_p50:
            raise wrong_at(("cv_p90",), f"found {self.cv_p90:g}, must be at least cv_p50 {self.cv_p50:g}")
        return self


class ServeGen(Spec):
    """Clients of the published ServeGen parameters: Gamma or Weibull gaps, anew in every window, superposed."""

    process: Literal["servegen"]
    """Clients of a file."""
    file: str
    """client_rates.parquet, a chunk-N-trace.csv, or a folder of them; sought like a trace."""
    model: str | None = None
    """Which model of a Parquet file that holds several."""
    lengths_file: str | None = None
    """The clients' lengths: length_pdfs.parquet, a chunk-N-dataset.json, or a folder of them. The clients that it has
    bring their own lengths; the others have those of the workload."""
    rate_factor: Positive = 1.0
    """Multiplies the rate of every client."""
    start_s: NonNegative = 0.0
    """Where in the recording the run begins [s]."""


class Trace(Spec):
    """Replay of a recorded trace: arrivals and lengths come from the file.

    In this order: `limit` keeps the first requests, `keep_share` thins them, `time_warp` bends the clock, `rate_scale`
    speeds it up, `loop` begins again.
    """

    process: Literal["trace"]
    """Arrivals and token counts of a file."""
    file: str
    """Path; relative ones are sought beside the scenario, then in $INFERSIM_TRACES."""
    rate_scale: Positive = 1.0
    """Speed-up of the clock: 2 replays the same requests in half the time."""
    limit: Count | None = None
    """Replay only the first requests."""
    keep_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Thinning: each request is kept with this probability, so the rate falls and the clock stays."""
    time_warp: list[list[NonNegative]] | None = Field(default=None, min_length=2)
    """Pairs of (second of the trace, second of the replay), both rising from 0, straight in between and beyond."""
    loop: bool = False
    """Begin again one mean gap after the last request, until the horizon."""
    session_rate_rps: Positive | None = None
    """For recordings of sessions without absolute times: sessions begin as a Poisson process of this rate [1/s]."""

    @model_validator(mode="after")
    def _rising(self) -> "Trace":
        before = None
        for index, pair in enumerate(self.time_warp or []):
            if len(pair) != 2 or (index == 0 and pair != [0, 0]):
                right = "the first pair is [0, 0]" if index == 0 else "give [second of the trace, second of the replay]"
                raise wrong_at(("time_warp", index), f"found {pair}; {right}")
            if before and not (pair[0] > before[0] and pair[1] > before[1]):
                raise wrong_at(("time_warp", index), f"found {pair} after {before}; both numbers rise")
            before = pair
        return self


_Simple = Regular | Poisson | Gamma | Weibull | Mmpp | RateSeries | Diurnal | FlashCrowd | Ramp | Step | Clients


class Batches(Spec):
    """Arrivals in batches, at once or spread a little: short clusters around the times of another process."""

    process: Literal["batches"]
    """Clusters of requests."""
    batches: Annotated[_Simple, Field(discriminator="process")]
    """When batches begin; its rate counts batches."""
    size: Lengths
    """Requests in a batch (at least 1)."""
    spread_s: NonNegative = 0.0
    """Each request comes this long after its batch begins, exponential with this mean [s]; 0 is all at once."""


class Superposition(Spec):
    """Several processes at once; rates add."""

    process: Literal["superposition"]
    """The sum of processes."""
    of: list[Annotated[_Simple | Batches, Field(discriminator="process")]] = Field(min_length=1, max_length=1000)
    """The processes."""


Arrivals = Annotated[_Simple | Batches | Superposition | ClosedLoop | ServeGen | Trace, Field(discriminator="process")]
