"""Where the numbers that a run started from come from: each graded quantity of a pool's profiles, with its source.

Not here: what was made of them. Read `page.py` for where they are shown.
"""

from dataclasses import dataclass

from infersim.spec.base import Quantity, leaves
from infersim.spec.checks import matching_prices, own_price
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware
from infersim.spec.pool import Pool
from infersim.spec.purchase import PriceChoice
from infersim.spec.zoo import SWITCH_GRADE, SWITCH_SPREAD, Switching

GRADES = ("measured", "datasheet", "vendor_claim", "calibrated", "estimated")
"""From the strongest evidence to the weakest."""

RESTS_ON = {
    "latency, throughput and SLO": (
        "request by request; steps cost as the roofline of the chip says, and overheads",
        ("peak_tflops.", "memory.bandwidth", "link.", "efficiency.", "step_overhead", "sequence_overhead",
         "request_overhead", "token_overhead", "switching."),
    ),
    "batch sizes and preemptions": (
        "KV blocks = memory the engine may fill, less weights and reserve",
        ("memory.capacity", "memory_fraction"),
    ),
    "dollars": (
        "billed hours x chips x price of a chip-hour",
        ("price.", "provision_s", "load_gb_s", "initialise_s"),
    ),
    "joules and grams": ("(idle power x hours + FLOPs and bytes x their energy) x PUE", ("power.",)),
}  # fmt: skip
"""Headline numbers -> how they are worked out, and the beginnings of the keys that they rest on."""


@dataclass(frozen=True)
class Source:
    """One number that a pool started from."""

    profile: str
    """`hardware h100-sxm`, `engine vllm`."""
    key: str
    """Dotted, as in the profile's YAML."""
    value: float
    grade: str
    spread: float
    source: str


def pool_sources(hardware: Hardware, engine: Engine, choice: PriceChoice) -> tuple[Source, ...]:
    """Every graded number of a pool's chip and engine, and the price that it pays unless the scenario gives its own."""
    found = [
        Source(f"{kind} {profile.name}", key, q.value, q.grade, q.spread, q.source)
        for kind, profile in (("hardware", hardware), ("engine", engine))
        for key, q in leaves(profile)
        if isinstance(q, Quantity)
    ]
    if not own_price(choice):
        price = matching_prices(hardware, choice)[0]
        q, title = price.usd_per_chip_hour, f"price of {price.provider}, {price.tier}, {price.date}"
        found.append(Source(title, "price.usd_per_chip_hour", q.value, q.grade, q.spread, q.source))
    return tuple(found)


def switching_sources(pool: Pool) -> tuple[Source, ...]:
    """What the switches of a pool with several models rest on, unless the scenario says it."""
    if len(pool.models or []) < 2 or (pool.switching and "switch_s" in pool.switching.model_fields_set):
        return ()
    why = "the host's part of a switch; published wake-up times of sleep modes have the copy of weights in them"
    return (Source("switching", "switching.switch_s", Switching().switch_s, SWITCH_GRADE, SWITCH_SPREAD, why),)


def weakest(grades: list[str]) -> str:
    """The weakest of these grades; `-` when there is none."""
    return max(grades, key=GRADES.index) if grades else "-"
