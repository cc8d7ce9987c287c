"""Prices, cold starts, regions, failures and phases that cannot be: each says where, and what would be right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.spec.conftest import SCENARIO, line_of

WITHOUT = "    batching: {max_num_seqs: 64}\n"
PRICE = "    price: {tier: on_demand}\n"


def with_line(line: str) -> str:
    """The scenario with one line more in its pool."""
    return SCENARIO.replace(WITHOUT, f"{WITHOUT}    {line}\n")


def with_price(price: str) -> str:
    """The scenario with another price."""
    return SCENARIO.replace(PRICE, f"    price: {price}\n")


def with_regions(*regions: str, pool: str = "region: east", workload: str = "  region: west") -> str:
    """The scenario with regions, a pool in one and requests from another."""
    text = with_line(pool) if pool else SCENARIO
    if workload:
        text = text.replace("router:", f"{workload}\nrouter:")
    return text + "regions:\n" + "".join(f"  - {region}\n" for region in regions)


WEST, EAST = "{name: west, round_trip_ms: {east: 70}}", "{name: east}"

# the scenario, a fragment on the line that is wrong, key path, what was found, what would be right
CASES = {
    "spot terms of another tier": (
        with_price("{tier: on_demand, spot: {notice_s: 30}}"),
        "spot:", "pools[0].price.spot", "is for tier spot, found tier on_demand", "change the tier"),
    "two prices": (
        with_price("{usd_per_chip_hour: 2, series: {at_s: [0], values: [3]}}"),
        "series:", "pools[0].price.series", "found beside usd_per_chip_hour", "give one price"),
    "a price below nothing": (
        with_price("{series: {at_s: [0, 60], values: [3, -1]}}"),
        "series:", "pools[0].price.series.values", "found -1", "must not be negative"),
    "a series with a gap at its start": (
        with_price("{series: {at_s: [60], values: [3]}}"),
        "series:", "pools[0].price.series.at_s[0]", "found 60", "without a gap"),
    "times that fall": (
        with_price("{series: {at_s: [0, 60, 30], values: [3, 2, 1]}}"),
        "series:", "pools[0].price.series.at_s[2]", "found 30 after 60", "must rise"),
    "a value too few": (
        with_price("{series: {at_s: [0, 60], values: [3]}}"),
        "series:", "pools[0].price.series.values", "1 values for 2 times", "one for each"),
    "a negative delay": (
        with_line("cold_start: {provision_s: -5}"),
        "cold_start:", "pools[0].cold_start.provision_s", "found -5", "at least 0"),
    "a tail before the median": (
        with_line("cold_start: {provision_s: 60, provision_p99_s: 30}"),
        "cold_start:", "pools[0].cold_start.provision_p99_s", "found 30", "must exceed provision_s 60"),
    "a rate that is not used": (
        with_line("cold_start: {weights: {storage_gb_s: 5}}"),
        "cold_start:", "pools[0].cold_start.weights.storage_gb_s", "not used with source profile", "object_store"),
    "more at the start than the quota": (
        with_price("{tier: on_demand, limit: 1}"),
        "initial: 2", "pools[0].replicas.initial", "found 2", "sum to 1"),
    "more at the start than places": (
        with_line("placement: {places: 1}"),
        "initial: 2", "pools[0].replicas.initial", "found 2", "1 places"),
    "a fallback without a price": (
        with_line("fallbacks: [{tier: neocloud}]"),
        "fallbacks:", "pools[0].fallbacks[0].tier", "has no neocloud price", "usd_per_chip_hour"),
    "a region of nobody": (
        with_regions(WEST, EAST, "{name: moon}"),
        "name: moon", "regions[2].name", "moon has neither a pool nor requests", "remove it"),
    "a pool without a route": (
        with_regions("{name: west}", EAST),
        "region: east", "pools[0].region", "no route from west to east", "round_trip_ms"),
    "a pool nowhere": (
        with_regions(WEST, EAST, pool=""),
        "name: h100", "pools[0].region", "is missing", "west, east"),
    "requests from nowhere": (
        with_regions(WEST, EAST, workload=""),
        "workload:", "workload.region", "is missing", "west, east"),
    "an unknown region": (
        with_regions(WEST, EAST, pool="region: eest"),
        "region: eest", "pools[0].region", "unknown region eest", "east"),
    "a region without regions": (
        with_line("region: east"),
        "region: east", "pools[0].region", "unknown region east", "no regions"),
    "a negative round trip": (
        with_regions("{name: west, round_trip_ms: {east: -1}}", EAST),
        "round_trip_ms", "regions[0].round_trip_ms.east", "found -1", "at least 0"),
    "two carbons": (
        with_regions(WEST, "{name: east, grid: us-east4, carbon_g_per_kwh: 3}"),
        "us-east4", "regions[1].carbon_g_per_kwh", "found beside grid", "one of the two"),
    "an unknown grid": (
        with_regions(WEST, "{name: east, grid: us-east}"),
        "us-east", "regions[1].grid", "unknown grid us-east", "us-east4"),
    "a fault of nobody": (
        SCENARIO + "failures: {faults: [{what: node, mtbf_hours: 9, repair: {mean_s: 9}, pools: [b200]}]}\n",
        "failures:", "failures.faults[0].pools", "unknown pool b200", "h100"),
    "a repair of two kinds": (
        SCENARIO + "failures: {faults: [{what: node, mtbf_hours: 9, repair: {mean_s: 9, median_s: 9}}]}\n",
        "failures:", "failures.faults[0].repair", "needs mean_s, or median_s with p99_s", "mean_s"),
    "a slow zone": (
        SCENARIO + "failures: {faults: [{what: zone, mtbf_hours: 9, repair: {mean_s: 9}, speed: 0.5}]}\n",
        "failures:", "failures.faults[0].speed", "a zone fails or does not", "remove speed"),
    "an outage of no zone": (
        SCENARIO + "phases: [{kind: outage, at_s: 1, for_s: 1, zone: z}]\n",
        "phases:", "phases[0].zone", "unknown zone z", "a"),
    "an outage before the beginning": (
        SCENARIO + "phases: [{kind: outage, at_s: -1, for_s: 1}]\n",
        "phases:", "phases[0].at_s", "found -1", "at least 0"),
    "an upgrade that cannot move": (
        SCENARIO + "phases: [{kind: rolling_upgrade, at_s: 1, surge: 0}]\n",
        "phases:", "phases[0].surge", "no replica could ever be replaced", "allow one"),
    "an unknown phase": (
        SCENARIO + "phases: [{kind: earthquake, at_s: 1}]\n",
        "phases:", "phases[0].kind", "earthquake", "outage"),
    "a cap below idle": (
        SCENARIO + "phases: [{kind: power_cap, at_s: 1, for_s: 1, share: 0.05}]\n",
        "phases:", "phases[0].share", "found 0.05", "idle"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_says_where_and_what(case: str, write: Callable[[str], Path]) -> None:
    text, fragment, path, found, right = CASES[case]
    file = write(text)
    with pytest.raises(SpecError) as caught:
        resolve(load_scenario(file))
    message = str(caught.value)
    assert f"{file.name}:{line_of(text, fragment)}" in message
    assert path in message
    assert found in message
    assert right in message
