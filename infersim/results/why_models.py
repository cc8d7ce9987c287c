"""What replicas that serve several models spent on going from one to the next, and who had to be loaded again and again.

Not here: the numbers (`summary.py`). Read `explain.py` next.
"""

from collections.abc import Mapping
from typing import Any

from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import digits, percent, seconds

COLUMNS = (
    "model",
    ">requests",
    ">TTFT p99",
    ">switches",
    ">loads",
    ">evictions",
    ">a load takes",
    ">switching",
    ">tokens",
)


def why_models(run: Run) -> tuple[Chapter, ...]:
    """A chapter for each pool with several models; none without."""
    return tuple(_of_pool(run, name, pool) for name, pool in run.summary["pools"].items() if "models" in pool)


def _of_pool(run: Run, name: str, pool: Mapping[str, Any]) -> Chapter:
    models, asked = pool["models"], run.summary["slo"].get("models", {})
    switches, loads = (sum(one[key] for one in models.values()) for key in ("switches", "loads"))
    share, spent_s = pool["utilisation"]["time_share"]["switching"], sum(one["switching_s"] for one in models.values())
    sentence = (
        f"Replicas switched {switches:,} times from one model to another, which took {percent(share or 0.0)} of their busy "
        f"time; {loads:,} times the weights had to be loaded."
    )
    sentences = [sentence]
    if loads:
        worst = max(models, key=lambda model: models[model]["loads"] * models[model]["load_s"])
        lost = models[worst]["loads"] * models[worst]["load_s"]
        sentences.append(
            f"{percent(lost / spent_s)} of that went into loading {worst}, {models[worst]['loads']:,} times "
            f"{seconds(models[worst]['load_s'])}."
        )
    rows = [
        (
            model,
            *((f"{asked[model]['requests']:,}", seconds(asked[model]["ttft_p99_s"])) if model in asked else ("", "")),
            *(f"{one[key]:,}" for key in ("switches", "loads", "evictions")),
            seconds(one["load_s"]),
            seconds(one["switching_s"]),
            digits(one["prompt_tokens"] + one["output_tokens"]),
        )
        for model, one in models.items()
    ]
    return Chapter(f"Models that take turns in {name}", tuple(sentences), COLUMNS, tuple(rows))
