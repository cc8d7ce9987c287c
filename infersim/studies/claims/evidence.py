"""The estimated numbers that a verdict rests on: of the chips and engines of the cases that its numbers were read from.

A number that is read off the bill rests on prices and on speed, one of energy on power and speed, any other on speed
alone; peaks and efficiencies of dtypes that were not used, and links of single chips, decide nothing. Not here: where
the numbers come from (`results/provenance.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infersim.results.provenance import RESTS_ON
from infersim.studies.claims.measure import Measured

AREAS = {
    "cost.": ("dollars",),
    "usd_": ("dollars",),
    "energy.": ("joules and grams",),
    "carbon.": ("joules and grams",),
}
"""Beginning of a key of the summary -> what it rests on besides speed."""
SPEED = ("latency, throughput and SLO", "batch sizes and preemptions")
COLD = ("provision_s", "load_gb_s", "initialise_s")
"""What cold starts rest on; only where replicas come and go."""


def estimated(seen: Iterable[tuple[str, str]], measured: Mapping[str, Measured]) -> list[str]:
    """`cerebras-wse3: price +- 30 %, ...`, one text a profile, of what was looked at."""
    found: dict[str, dict[str, list[float]]] = {}
    for case, key in sorted(set(seen)):
        one = measured[case]
        scaled = bool((one.row or {}).get("cost.cold_start_usd"))
        for source in one.sources:
            name = str(source["key"])
            if source["grade"] == "estimated" and _decides(name, key, one, scaled):
                kinds = found.setdefault(_owner(source, one), {})
                kinds.setdefault(_kind(name), []).append(float(source["spread"]))
    return [
        f"{owner}: " + ", ".join(f"{kind}{_spread(spreads)}" for kind, spreads in kinds.items())
        for owner, kinds in found.items()
    ]


def _owner(source: Mapping[str, Any], one: Measured) -> str:
    """The chip or engine that a number belongs to; a price is its chip's."""
    profiles = (str(other["profile"]) for other in one.sources if other["pool"] == source["pool"])
    profile = next(profiles) if str(source["key"]).startswith("price.") else str(source["profile"])
    return profile.partition(" ")[2]


def _decides(name: str, key: str, one: Measured, scaled: bool) -> bool:
    """Whether a number of a profile decides a number of the summary."""
    begins = [begin for area in SPEED for begin in RESTS_ON[area][1]]
    for prefix, areas in AREAS.items():
        begins += [begin for area in areas if key.startswith(prefix) for begin in RESTS_ON[area][1]]
    if key == "usd_per_chip_hour" or key.endswith(".usd_per_chip_hour"):
        begins = ["price."]
    if key == "runs":
        begins = list(RESTS_ON[SPEED[1]][1])
    if not name.startswith(tuple(begins)) or (name.startswith(COLD) and not scaled):
        return False
    if name.startswith("link.") and one.row is not None and one.row.get("chips") == 1:
        return False
    head, _, dtype = name.rpartition(".")
    return head not in ("peak_tflops", "efficiency.matmul_compute") or dtype in one.dtypes


def _kind(name: str) -> str:
    """What a number of a profile is about."""
    kinds = {
        "peak_tflops.": "peak",
        "efficiency.": "efficiency",
        "link.": "link",
        "power.": "power",
        "memory": "memory",
    }
    return next((kind for begin, kind in kinds.items() if name.startswith(begin)), _named(name))


def _named(name: str) -> str:
    if name.startswith("price."):
        return "price"
    return "cold start" if name.startswith(COLD) else "overheads"


def _spread(spreads: Sequence[float]) -> str:
    """How wide the estimates are."""
    low, high = min(spreads), max(spreads)
    return "" if high == 0 else f" ± {high:.0%}" if low == high else f" ± {low:.0%} to {high:.0%}"
