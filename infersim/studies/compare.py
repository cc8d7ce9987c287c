"""Two runs side by side: what was asked differently, what came out differently, and which terms the difference is made of.

    print(compare("runs/before", "runs/after"))

Latency is exact: the mean latency of finished requests is the sum of its spans, so its change is the sum of theirs. The
price of a million output tokens is price of a chip-hour x chip-hours / tokens, so the logarithm of its change is the sum of
theirs; and it is busy + idle + cold start. Not here: curves against a baseline (`regression.py`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from infersim.results.directory import SavedRun, read_run
from infersim.results.result import Result
from infersim.spec.document import parse
from infersim.spec.resolve import resolved_yaml

Run = str | Path | Result | SavedRun
"""A run directory, a result, or a run directory read back."""

HEADLINES = (
    "requests.arrived",
    "throughput.output_tokens_per_s",
    "latency.ttft_s.p50",
    "latency.ttft_s.p99",
    "latency.tpot_s.p50",
    "latency.tpot_s.p99",
    "latency.e2e_s.mean",
    "slo.attainment",
    "cost.total_usd",
    "cost.usd_per_million_output_tokens",
    "energy.j_per_output_token",
)
PURPOSES = ("busy_usd", "idle_usd", "cold_start_usd")


@dataclass(frozen=True)
class RunComparison:
    """What sets two runs apart."""

    settings: pd.DataFrame
    """key, a, b: where the scenarios differ."""
    numbers: pd.DataFrame
    """number, a, b, change (relative): the headlines."""
    latency: pd.DataFrame
    """span, a, b, difference [s] of the mean latency; differences sum to that of the mean."""
    cost: pd.DataFrame
    """term, a, b, factor: price, chip_hours, tokens; factors multiply to that of the price of a million output tokens."""
    purposes: pd.DataFrame
    """purpose, a, b, difference [USD for a million output tokens]; differences sum to that of the price."""

    def __str__(self) -> str:
        """The explanation in a few lines."""
        from infersim.results.units import digits, usd

        lines = [f"{row.key}: {row.a} -> {row.b}" for row in self.settings.itertuples()] or [
            "the scenarios are the same"
        ]
        lines += [
            f"{row.number}: {digits(row.a)} -> {digits(row.b)} ({row.change:+.1%})"
            for row in self.numbers.itertuples()
            if row.change != 0 and not math.isnan(row.change)
        ]
        total = float(self.latency["difference"].sum())
        parts = self.latency.reindex(self.latency["difference"].abs().sort_values(ascending=False).index)
        told = [
            f"{row.span.removesuffix('_s')} {row.difference:+.4g} s" for row in parts.itertuples() if row.difference
        ]
        lines.append(f"mean latency {total:+.4g} s: {', '.join(told) or 'every span is the same'}")
        terms = [f"{row.term.replace('_', ' ')} x {row.factor:.4g}" for row in self.cost.itertuples()]
        spent = [f"{row.purpose.removesuffix('_usd').replace('_', ' ')} {usd_change(row.difference)}"
                 for row in self.purposes.itertuples() if row.difference]  # fmt: skip
        change = float(self.purposes["difference"].sum())
        lines.append(
            f"a million output tokens {usd_change(change)}: {', '.join(terms)}; {', '.join(spent) or usd(0.0)}"
        )
        return "\n".join(lines)


def usd_change(amount: float) -> str:
    """Dollars with a sign."""
    from infersim.results.units import usd

    return ("-" if amount < 0 else "+") + usd(abs(amount))


def compare(a: Run, b: Run) -> RunComparison:
    """What sets run `b` apart from run `a`. Raises RunDirectoryError for a directory that holds no whole run."""
    first, second = _opened(a), _opened(b)
    return RunComparison(
        _settings(first[1], second[1]),
        _numbers(first[0], second[0]),
        _latency(first[0], second[0]),
        _cost(first[0], second[0]),
        _purposes(first[0], second[0]),
    )


def _opened(run: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Summary and scenario of a run."""
    if isinstance(run, Result):
        return run.summary, parse(resolved_yaml(run.record.scenario), "scenario")[0]
    saved = run if isinstance(run, SavedRun) else read_run(run)
    return saved.summary, parse(saved.scenario_yaml, "scenario.yaml")[0]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of a scenario; list entries by their name where they have one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{index}")
    else:
        yield path, value


def _settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    first, second = dict(_leaves(dict(a))), dict(_leaves(dict(b)))
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key) and key != "description"]
    rows = [(key, str(first.get(key, "absent")), str(second.get(key, "absent"))) for key in keys]
    return pd.DataFrame(rows, columns=["key", "a", "b"])


def _at(summary: Mapping[str, Any], dotted: str) -> float:
    value: Any = summary
    for key in dotted.split("."):
        value = value[key]
    return float("nan") if value is None else float(value)


def _numbers(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    rows = [(key, _at(a, key), _at(b, key)) for key in HEADLINES]
    return pd.DataFrame(
        [(key, x, y, y / x - 1 if x else (0.0 if y == x else math.inf)) for key, x, y in rows],
        columns=["number", "a", "b", "change"],
    )


def _latency(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    spans = [span for span in a["mean_spans_s"] if span in b["mean_spans_s"]]
    rows = [(span, _at(a, f"mean_spans_s.{span}"), _at(b, f"mean_spans_s.{span}")) for span in spans]
    return pd.DataFrame([(*row, row[2] - row[1]) for row in rows], columns=["span", "a", "b", "difference"])


def _cost(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    terms = [_terms(a), _terms(b)]
    rows = [(name, terms[0][name], terms[1][name]) for name in terms[0]]
    factors = [y / x if x else math.nan for _, x, y in rows]
    factors[2] = 1 / factors[2] if factors[2] else math.nan
    return pd.DataFrame(
        [(*row, factor) for row, factor in zip(rows, factors, strict=True)], columns=["term", "a", "b", "factor"]
    )


def _terms(summary: Mapping[str, Any]) -> dict[str, float]:
    """Mean price of a chip-hour, chip-hours, and output tokens."""
    pools = summary["pools"].values()
    hours = sum(_hours(pool) for pool in pools)
    dollars = _at(summary, "cost.total_usd")
    return {
        "price_of_a_chip_hour": dollars / hours if hours else math.nan,
        "chip_hours": hours,
        "output_tokens": _at(summary, "requests.output_tokens"),
    }


def _hours(pool: Mapping[str, Any]) -> float:
    price = pool["usd_per_chip_hour"]
    return pool["cost"]["total_usd"] / price if price else math.nan


def _purposes(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    def each(summary: Mapping[str, Any], purpose: str) -> float:
        tokens = _at(summary, "requests.output_tokens")
        return _at(summary, f"cost.{purpose}") / tokens * 1e6 if tokens else math.nan

    rows = [(purpose, each(a, purpose), each(b, purpose)) for purpose in PURPOSES]
    return pd.DataFrame([(*row, row[2] - row[1]) for row in rows], columns=["purpose", "a", "b", "difference"])
