"""Predicted against measured: every row of a table of measurements re-simulated, and the errors summed up.

    found = validate("calibration.csv")
    found.table          one row for each measurement: predicted, error_pct, or the reason why there is none
    found.by("metric", "hardware")     rows, coverage, median and p90 of the absolute error, bias

Not here: reading (`measurements.py`), serving (`resimulation.py`), fits (`left_out.py`). Read `calibration.py` next.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infersim.cost.silicon import NoTables, package_data, silicon
from infersim.studies.cases import CannotSay, Case, Reading, Row, unserved
from infersim.studies.errors import StudyError
from infersim.studies.measurements import read_measurements
from infersim.studies.outcomes import Outcome, predict
from infersim.studies.resimulation import resimulate
from infersim.studies.spreads import drawn
from infersim.studies.tasks import HERE, Machines, all_done

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 20
"""Profiles that an interval is drawn from."""
Range = tuple[float, float]

OWN = Path(__file__).parent / "data"
"""The tables that travel with infersim: published facts with their sources."""


@dataclass(frozen=True)
class Validation:
    """What a table of measurements says of the predictions."""

    table: "pd.DataFrame"
    """One row for each measurement."""
    requests: "pd.DataFrame"
    """One row for each request and metric of runs that were recorded request by request; empty without any."""

    @property
    def coverage(self) -> float:
        """Share of the measurements that could be re-simulated."""
        return float(self.table["predicted"].notna().mean()) if len(self.table) else 0.0

    def by(self, *columns: str) -> "pd.DataFrame":
        """Rows, coverage, and median, p90 and bias [%] of the errors, for each combination of `columns`."""
        import pandas as pd

        rows = []
        for key, group in self.table.groupby(list(columns), dropna=False):
            errors = group["error_pct"].dropna().to_numpy()
            sizes = np.abs(errors)
            rows.append(
                {
                    **dict(zip(columns, key, strict=True)),
                    "rows": len(group),
                    "simulated": len(errors),
                    "median_abs_pct": float(np.median(sizes)) if len(errors) else np.nan,
                    "p90_abs_pct": float(np.percentile(sizes, 90)) if len(errors) else np.nan,
                    "bias_pct": float(np.median(errors)) if len(errors) else np.nan,
                }
            )
        return pd.DataFrame(rows)

    def within(self, *columns: str) -> "pd.DataFrame":
        """For each combination of `columns`: rows with an interval, share of the measured values inside it [%], and its median
        half width over the prediction [%]. Empty unless intervals were asked for."""
        import pandas as pd

        rows = []
        known = self.table.dropna(subset=["low", "high"]) if "low" in self.table else self.table.head(0)
        for key, group in known.groupby(list(columns), dropna=False) if len(known) else ():
            inside = group["actual"].between(group["low"], group["high"])
            half = (group["high"] - group["low"]) / (2.0 * group["predicted"])
            words = dict(zip(columns, key, strict=True))
            shares = {"inside_pct": 100.0 * inside.mean(), "half_width_pct": 100.0 * half.median()}
            rows.append({**words, "rows": len(group), **shares})
        return pd.DataFrame(rows)

    def by_request(self) -> "pd.DataFrame":
        """Of runs recorded request by request, for each run and metric: how the error of single requests is spread."""
        import pandas as pd

        rows = []
        for (run, metric), group in self.requests.groupby(["run", "metric"]) if len(self.requests) else ():
            errors = group["error_pct"].to_numpy()
            spread = {f"p{q}_abs_pct": float(np.percentile(np.abs(errors), q)) for q in (50, 90, 99)}
            mean = 100.0 * (group["predicted"].mean() / group["actual"].mean() - 1.0)
            bias = float(np.median(errors))
            rows.append(
                {"run": run, "metric": metric, "requests": len(group), "mean_pct": mean, "bias_pct": bias, **spread}
            )
        return pd.DataFrame(rows)

    def worst(self, count: int) -> "pd.DataFrame":
        """The rows with the largest errors."""
        order = self.table["error_pct"].abs().sort_values(ascending=False, kind="stable").index
        return self.table.loc[order].dropna(subset=["error_pct"]).head(count)

    def refused(self) -> "pd.DataFrame":
        """Reasons why rows could not be re-simulated, with their number."""
        missing = self.table[self.table["predicted"].isna()]
        return missing.groupby("reason").size().rename("rows").reset_index().sort_values("rows", ascending=False)

    def records(self) -> list[dict[str, Any]]:
        """One object a measurement: id (or run, stage), metric, statistic, actual, predicted (low, high), error_pct, or reason."""
        keep = [
            "id",
            "run",
            "stage",
            "metric",
            "statistic",
            "actual",
            "predicted",
            "low",
            "high",
            "error_pct",
            "reason",
        ]
        names = [name for name in keep if name in self.table]
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None and value == value}
            for row in self.table[names].astype(object).itertuples(index=False, name=None)
        ]


def validate(
    file: str | Path | None = None,
    *,
    measured: bool = False,
    left_out: bool = False,
    intervals: bool = False,
    change: Callable[[Case], Case] | None = None,
    machines: Machines = HERE,
    progress: Callable[[float, float], None] | None = None,
) -> Validation:
    """Re-simulate a table of measurements, in either schema, or a folder of them; infersim's own without a file.

    `measured`: price by the operators measured in aiconfigurator-core where it has them; the column `priced` says which
    rows these are. `left_out`: cross-validation, every group is predicted by knobs that were fitted to the other groups
    on `machines` (about twenty times the work). `intervals`: the columns `low` and `high` say where nine in ten predictions lie
    when profiles are drawn from within what is known of them (DRAWS times the work). `change` may exchange a case's profiles before it is served. Raises
    SpecError for a file that is no such table or has one group, StudyError where that package is missing.
    """
    reading = read_measurements(Path(file) if file is not None else OWN)
    if measured:
        try:
            package_data()
        except NoTables as error:
            raise StudyError(str(error), "validate --measured") from error
        change = by_measured_operators
    if left_out:
        return without_their_groups(reading, change, machines, progress, intervals)
    return compare(reading, change=change, progress=progress, intervals=intervals, machines=machines)


def without_their_groups(
    reading: Reading,
    change: Callable[[Case], Case] | None,
    machines: Machines,
    progress: Callable[[float, float], None] | None,
    intervals: bool = False,
) -> Validation:
    """Predicted against measured, each group by what all others say of the knobs."""
    from infersim.studies.left_out import left_out, with_factors

    cases = [change(case) for case in reading.cases] if change is not None else reading.cases
    if len({case.group for case in cases}) < 2:
        raise StudyError(
            "the measurements are of one group: there is nothing to fit to without it", "validate --left-out"
        )
    fits = 0.5 if intervals else 0.95  # of the work
    share = (lambda done, of: progress(fits * done, of)) if progress is not None else None
    factors = left_out(cases, machines, share)
    turned = Reading([with_factors(case, factors) for case in cases], reading.refused)
    rest = (lambda done, of: progress(fits * of + (1.0 - fits) * done, of)) if progress is not None else None
    return compare(turned, progress=rest, intervals=intervals, machines=machines)


def by_measured_operators(case: Case) -> Case:
    """The case priced by measured operators, if its chip was measured under its engine."""
    try:
        return replace(case, measured=silicon(case.hardware.name, case.engine.name))
    except NoTables:
        return case


def compare(
    reading: Reading,
    *,
    change: Callable[[Case], Case] | None = None,
    progress: Callable[[float, float], None] | None = None,
    intervals: bool = False,
    machines: Machines = HERE,
) -> Validation:
    """Predicted against measured, for cases that have been read."""
    import pandas as pd

    cases = [change(case) for case in reading.cases] if change is not None else reading.cases
    ranges = all_done(likely, cases, machines, unserved(cases, "--intervals"), progress) if intervals else None
    records, requests = [], []
    for number, case in enumerate(cases):
        outcome = served(case)
        records += row_records(case, outcome, ranges[number] if ranges else [])
        requests += request_records(case, outcome)
        if progress is not None and not intervals:
            progress(number + 1, len(cases))
    for row in reading.refused:
        kind = {"kind": row.kind, "hardware": row.hardware, "engine": row.engine, "group": ""}
        what = {"metric": row.metric, "statistic": row.statistic, "actual": row.actual, "reason": row.reason}
        records.append({**row.labels, **kind, **what})
    table = pd.DataFrame(records)
    for column in ("predicted", "error_pct", "reason"):
        if column not in table:
            table[column] = np.nan if column != "reason" else None
    return Validation(table, pd.DataFrame(requests))


def likely(case: Case) -> list[Range]:
    """(p5, p95) of each row's predictions over DRAWS profiles from within what is known of them; none for what cannot be served."""
    predictions = []
    for number in range(DRAWS):
        hardware, engine = drawn(case.hardware, case.engine, number)
        outcome = served(replace(case, hardware=hardware, engine=engine))
        if not isinstance(outcome, str):
            predictions.append([_or_nan(case, outcome, row) for row in case.rows])
    if len(predictions) < DRAWS:  # a share of memory that was drawn small leaves no room for some
        return []
    low, high = np.percentile(np.array(predictions), (5, 95), axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _or_nan(case: Case, outcome: Outcome, row: Row) -> float:
    try:
        return predict(case, outcome, row)
    except CannotSay:
        return math.nan


def served(case: Case) -> Outcome | str:
    """The case re-simulated, or the reason why it cannot be."""
    try:
        return resimulate(case)
    except CannotSay as error:
        return str(error)


def row_records(case: Case, outcome: Outcome | str, ranges: Sequence[Range] = ()) -> list[dict[str, Any]]:
    """A record for each row of a case, with where its predictions are likely to lie."""
    about = {
        "kind": case.load.kind,
        "hardware": case.hardware.name,
        "engine": case.engine.name,
        "model": case.model.name,
        "group": case.group,
        "case": case.name,
        "priced": "analytic" if case.measured is None else "measured",
    }
    records: list[dict[str, Any]] = []
    for number, row in enumerate(case.rows):
        record = {**row.labels, **about, "metric": row.metric, "statistic": row.statistic, "actual": row.actual}
        try:
            if isinstance(outcome, str):
                raise CannotSay(outcome)
            value = predict(case, outcome, row)
        except CannotSay as error:
            records.append({**record, "reason": str(error)})
            continue
        error_pct = 100.0 * (value / row.actual - 1.0) if row.actual else None
        between = dict(zip(("low", "high"), ranges[number], strict=True)) if ranges else {}
        records.append({**record, "predicted": value, "error_pct": error_pct, "dominant": outcome.dominant, **between})
    return records


def request_records(case: Case, outcome: Outcome | str) -> list[dict[str, Any]]:
    """A record for each request and metric of a run that was recorded request by request."""
    if isinstance(outcome, str):
        return []
    return [
        {"run": case.name, "request": number, "metric": metric, "actual": actual, "predicted": 1e3 * float(predicted_s),
         "error_pct": 1e5 * float(predicted_s) / actual - 100.0}
        for metric, values in case.each.items()
        for number, (actual, predicted_s) in enumerate(
            zip(values, outcome.seconds[metric.replace("_ms", "_s")], strict=True)
        )
        if actual > 0
    ]  # fmt: skip
