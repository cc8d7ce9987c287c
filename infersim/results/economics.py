"""Money beyond the run: what a month of it costs, who is paid, what was wasted, and when another way is cheaper.

Not here: the run's own bill (`money.py`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from infersim.results.expenses import egress_usd, electricity_usd
from infersim.results.money import bill, lease_times, per
from infersim.results.record import RunRecord

HOURS_PER_MONTH, HOURS_PER_YEAR = 730.0, 8760.0
"""A twelfth of a year, and a year of 365 days [h]."""


def projection(usd: float, end_s: float) -> dict[str, float]:
    """The bill if the run went on like this for ever: mean `usd_per_hour`, `usd_per_month`, `usd_per_year`."""
    hourly = per(usd * 3600.0, end_s)
    return {
        "usd_per_hour": hourly,
        "usd_per_month": hourly * HOURS_PER_MONTH,
        "usd_per_year": hourly * HOURS_PER_YEAR,
    }


def by_purchase(run: RunRecord) -> list[dict[str, Any]]:
    """Dollars and billed chip-hours by provider and tier, dearest first; `scenario` provides where that gives the price itself.

    The electricity of owned machines is among theirs; egress stands beside, as provider `egress`, without chip-hours.
    """
    totals: dict[tuple[str, str], list[float]] = {}
    dollars, billed = bill(run).total, lease_times(run).billed + run.leases["rounding_s"]
    for index, pool in enumerate(run.pools):
        electricity = electricity_usd(run, index)
        for number, tariff in enumerate(pool.tariffs):
            own = (run.leases["pool"] == index) & (run.leases["source"] == number)
            entry = totals.setdefault((tariff.provider, tariff.tier), [0.0, 0.0])
            entry[0] += float(dollars[own].sum() + electricity[number])
            entry[1] += float(billed[own].sum()) * pool.chips / 3600.0
    if egress := sum(egress_usd(run, index) for index in range(len(run.pools))):
        totals["egress", "by the GB"] = [egress, 0.0]
    ranked = sorted(totals.items(), key=lambda entry: -entry[1][0])
    return [
        {"provider": provider, "tier": tier, "usd": usd, "chip_hours": hours}
        for (provider, tier), (usd, hours) in ranked
    ]


def wasted(run: RunRecord, busy_usd: float) -> dict[str, float]:
    """Work that served nobody: for attempts that did not finish, and again for requests that were preempted.

    abandoned_tokens    tokens processed for attempts that were lost, timed out or turned away half served
    recomputed_tokens   tokens processed beyond these and those of finished requests, less what the prefix cache held
    wasted_usd          busy dollars x the two / all tokens processed; an estimate, by tokens
    """
    prompts = sum(pool.tally.prompt_tokens for pool in run.pools)
    every = prompts + sum(pool.tally.output_tokens for pool in run.pools)
    abandoned, sums = sum(pool.tally.wasted_tokens for pool in run.pools), run.calls.of()
    again = 0.0
    if sums.of_all("preemptions") and abandoned:
        useful = [sums.of_finished(name) for name in ("input_tokens", "output_tokens", "cached_tokens")]
        again = max(every - abandoned - useful[0] - useful[1] + useful[2], 0.0)
    elif sums.of_all("preemptions"):
        again = max(prompts - sums.prompts, 0.0)
    share = (abandoned + again) / every if every else 0.0
    return {"abandoned_tokens": abandoned, "recomputed_tokens": again, "wasted_usd": busy_usd * share}


@dataclass(frozen=True)
class BreakEven:
    """Where two ways of paying cost the same."""

    at: float
    """The break-even itself; what it is a number of, the function says."""
    cheaper: str
    """Which way is cheaper as things are."""
    saves_usd_per_month: float
    """What the cheaper way saves [USD a month]."""


def break_even_owned(
    purchase_usd: float, years: float, running_usd_per_hour: float, rented_usd_per_hour: float, hours_per_month: float
) -> BreakEven:
    """Owned against rented: hours a month from which on a chip of one's own is cheaper; inf if it never is.

    A chip costs `purchase_usd`, written off evenly over `years`, and `running_usd_per_hour` (power, space, people) when
    it is used [USD/h]; a rented one `rented_usd_per_hour`, paid by the hour of use. `hours_per_month` is the use.
    """
    _positive(years=years, rented_usd_per_hour=rented_usd_per_hour)
    owned = purchase_usd / (12.0 * years)
    margin = rented_usd_per_hour - running_usd_per_hour
    difference = hours_per_month * margin - owned
    at = owned / margin if margin > 0 else float("inf")
    return BreakEven(at, "owned" if difference > 0 else "rented", abs(difference))


def break_even_api(
    fleet_usd_per_month: float,
    input_tokens_per_month: float,
    output_tokens_per_month: float,
    api_usd_per_million_input: float,
    api_usd_per_million_output: float,
) -> BreakEven:
    """Self-hosted against an API: the share of the month's tokens from which on the fleet is cheaper; inf if never.

    The fleet costs the same however much it serves; the API is paid by the token. A share above 1 means that the fleet
    would have to serve more than it does.
    """
    api = (
        input_tokens_per_month * api_usd_per_million_input + output_tokens_per_month * api_usd_per_million_output
    ) / 1e6
    at = fleet_usd_per_month / api if api > 0 else float("inf")
    return BreakEven(at, "self-hosted" if fleet_usd_per_month < api else "api", abs(api - fleet_usd_per_month))


def _positive(**given: float) -> None:
    for name, value in given.items():
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"{name} must be a number above 0, found {value}")
