"""Which input moves the answer most: each is set to the ends of its plausible interval, alone, and a tornado is drawn.

    sensitivity("h100_llama70b").table

Inputs are the graded numbers of chips and engines that have a spread, prices, acceptance rates, and the traffic. An
interval is value x (1 -+ spread); prices without a spread, and the traffic, take SPREAD. All runs see the same requests.

Not here: many points of chosen keys (`sweep.py`), where two variants meet (`breakeven.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import pandas as pd

from infersim.cost.price import choose_price
from infersim.spec.base import Quantity, Spec
from infersim.spec.resolve import ResolvedPool, ResolvedScenario
from infersim.studies.demand import at_load
from infersim.studies.errors import StudyError
from infersim.studies.load import run_loaded
from infersim.studies.rows import Row
from infersim.studies.tasks import Failed, Machines, in_order
from infersim.studies.variants import Source, resolved_with

SPREAD = 0.2
"""Relative half-width where the profile gives none."""
METRIC = "cost.usd_per_million_output_tokens"

Changed = Callable[[float], ResolvedScenario]
"""The scenario with an input multiplied by a factor."""


@dataclass(frozen=True)
class Sensitivity:
    """What each input does to one number."""

    metric: str
    value: float
    """With every input as it is."""
    table: pd.DataFrame
    """input, spread, low, high (the number at the ends of the input's interval), swing; the greatest first."""

    def tornado(self, most: int = 15) -> bytes:
        """A PNG of the greatest swings; the same study gives the same bytes."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        from infersim.results.plots import BLUE, INK, ORANGE, STYLE

        rows = self.table.head(most).iloc[::-1]
        with rc_context(STYLE):
            figure = Figure(figsize=(10, 1.2 + 0.32 * len(rows)), layout="constrained")
            ax = figure.subplots()
            for name, colour, label in (("low", BLUE, "input low"), ("high", ORANGE, "input high")):
                ax.barh(rows["input"], rows[name] - self.value, left=self.value, color=colour, label=label, height=0.7)
            ax.axvline(self.value, color=INK, lw=1)
            ax.set(title="What moves the answer", xlabel=self.metric)
            ax.legend(loc="lower right")
            buffer = BytesIO()
            FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
            return buffer.getvalue()


def sensitivity(
    scenario: Source,
    metric: str = METRIC,
    *,
    settings: Sequence[str] = (),
    workers: int | None = 1,
    cluster: Any = None,
) -> Sensitivity:
    """The swing of one headline number over the interval of each input. Raises StudyError for an unknown number."""
    resolved = resolved_with(scenario, settings)
    inputs = list(_inputs(resolved))
    tasks = [resolved, *(change for _, spread, at in inputs for change in (at(1 - spread), at(1 + spread)))]
    rows = in_order(run_loaded, tasks, Machines(workers, cluster))
    values = [number(row, metric) for row in rows]
    low, high = values[1::2], values[2::2]
    table = pd.DataFrame({"input": [name for name, _, _ in inputs], "spread": [spread for _, spread, _ in inputs]})
    table = table.assign(low=low, high=high)
    table["swing"] = (table["high"] - table["low"]).abs()
    table = table.sort_values(["swing", "input"], ascending=[False, True], ignore_index=True)
    return Sensitivity(metric, values[0], table)


def number(row: Row | Failed, metric: str) -> float:
    """A headline number of a run."""
    if isinstance(row, Failed):
        raise StudyError(row.why)
    if metric not in row or isinstance(row[metric], str):
        from infersim.spec.errors import nearest

        raise StudyError(f"there is no number {metric}; {nearest(metric, row)}", "--metric")
    return float("nan") if row[metric] is None else float(row[metric])


def _inputs(resolved: ResolvedScenario) -> Iterator[tuple[str, float, Changed]]:
    """(name, spread, how to change it) of every input."""
    yield "traffic", SPREAD, lambda factor: at_load(resolved, factor)
    for index, pool in enumerate(resolved.pools):
        name = pool.pool.name
        yield f"{name}: price", _price_spread(pool), _with_pool(resolved, index, _priced)
        if pool.pool.speculative is not None:
            yield f"{name}: acceptance", 0.1, _with_pool(resolved, index, _accepting)
        for part in ("hardware", "engine"):
            for path, quantity in _spread_quantities(getattr(pool, part)):
                yield f"{name}: {'.'.join(path)}", quantity.spread, _with_quantity(resolved, index, part, path)


def _price_spread(pool: ResolvedPool) -> float:
    chosen = choose_price(pool.hardware, pool.pool.price)[0]
    spreads = [p.usd_per_chip_hour.spread for p in pool.hardware.prices if p.usd_per_chip_hour.value == chosen]
    return spreads[0] if spreads and spreads[0] else SPREAD


def _spread_quantities(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Quantity]]:
    """Graded numbers with a spread, prices aside, of those that a pool uses."""
    if isinstance(value, Quantity):
        if value.spread and value.value:
            yield path, value
    elif isinstance(value, Spec):
        for key in type(value).model_fields:
            yield from _spread_quantities(getattr(value, key), (*path, key)) if key != "prices" else ()
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _spread_quantities(inner, (*path, str(key)))


def _with_pool(
    resolved: ResolvedScenario, index: int, change: Callable[[ResolvedPool, float], ResolvedPool]
) -> Changed:
    def at(factor: float) -> ResolvedScenario:
        pools = list(resolved.pools)
        pools[index] = change(pools[index], factor)
        scenario = resolved.scenario.model_copy(update={"pools": [pool.pool for pool in pools]})
        return replace(resolved, scenario=scenario, pools=tuple(pools))

    return at


def _priced(pool: ResolvedPool, factor: float) -> ResolvedPool:
    usd = choose_price(pool.hardware, pool.pool.price)[0] * factor
    price = pool.pool.price.model_copy(update={"usd_per_chip_hour": usd})
    return replace(pool, pool=pool.pool.model_copy(update={"price": price}))


def _accepting(pool: ResolvedPool, factor: float) -> ResolvedPool:
    drafting = pool.pool.speculative
    assert drafting is not None
    chances = [min(1.0, chance * factor) for chance in drafting.chances]
    changed = drafting.model_copy(update={"acceptance": chances})
    return replace(pool, pool=pool.pool.model_copy(update={"speculative": changed}))


def _with_quantity(resolved: ResolvedScenario, index: int, part: str, path: tuple[str, ...]) -> Changed:
    def change(pool: ResolvedPool, factor: float) -> ResolvedPool:
        profile = _scaled(getattr(pool, part), path, factor)
        return replace(pool, hardware=profile) if part == "hardware" else replace(pool, engine=profile)

    return _with_pool(resolved, index, change)


def _scaled(value: Any, path: tuple[str, ...], factor: float) -> Any:
    """The profile with one graded number multiplied; a share of a peak stays at most 1."""
    if isinstance(value, Quantity):
        most = 1.0 if type(value) is not Quantity else float("inf")
        return value.model_copy(update={"value": min(value.value * factor, most)})
    if isinstance(value, dict):
        return {key: _scaled(inner, path[1:], factor) if key == path[0] else inner for key, inner in value.items()}
    return value.model_copy(update={path[0]: _scaled(getattr(value, path[0]), path[1:], factor)})
