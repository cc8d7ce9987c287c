"""Predicted against measured: every row of a table of measurements re-simulated, and the errors summed up.

    found = validate("calibration.csv")
    found.table          one row for each measurement: predicted, error_pct, or the reason why there is none
    found.by("metric", "hardware")     rows, coverage, median and p90 of the absolute error, bias

Not here: reading (`measurements.py`), serving (`resimulation.py`). Read `calibration.py` next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infersim.studies.measurements import CannotSay, Case, Reading, read_measurements
from infersim.studies.resimulation import predicted, resimulate

if TYPE_CHECKING:
    import pandas as pd

OWN = Path(__file__).parent / "data"
"""The tables that travel with infersim: published facts with their sources."""


@dataclass(frozen=True)
class Validation:
    """What a table of measurements says of the predictions."""

    table: "pd.DataFrame"
    """One row for each measurement."""

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

    def worst(self, count: int) -> "pd.DataFrame":
        """The rows with the largest errors."""
        order = self.table["error_pct"].abs().sort_values(ascending=False, kind="stable").index
        return self.table.loc[order].dropna(subset=["error_pct"]).head(count)

    def refused(self) -> "pd.DataFrame":
        """Reasons why rows could not be re-simulated, with their number."""
        missing = self.table[self.table["predicted"].isna()]
        return missing.groupby("reason").size().rename("rows").reset_index().sort_values("rows", ascending=False)

    def records(self) -> list[dict[str, Any]]:
        """One object a measurement: id (or run, stage), metric, statistic, actual, predicted, error_pct, or reason."""
        keep = ("id", "run", "stage", "metric", "statistic", "actual", "predicted", "error_pct", "reason")
        names = [name for name in keep if name in self.table]
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None and value == value}
            for row in self.table[names].astype(object).itertuples(index=False, name=None)
        ]


def validate(
    file: str | Path | None = None,
    *,
    change: Callable[[Case], Case] | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Validation:
    """Re-simulate a table of measurements, in either schema, or a folder of them; infersim's own without a file.

    `change` may exchange a case's profiles before it is served. Raises SpecError for a file that is no such table.
    """
    return compare(read_measurements(Path(file) if file is not None else OWN), change=change, progress=progress)


def compare(
    reading: Reading,
    *,
    change: Callable[[Case], Case] | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Validation:
    """Predicted against measured, for cases that have been read."""
    import pandas as pd

    records = []
    for done, case in enumerate(reading.cases):
        records += case_records(case if change is None else change(case))
        if progress is not None:
            progress(done + 1, len(reading.cases))
    for row in reading.refused:
        kind = {"kind": row.kind, "hardware": row.hardware, "engine": row.engine, "group": ""}
        records.append({**row.labels, **kind, "metric": row.metric, "actual": row.actual, "reason": row.reason})
    table = pd.DataFrame(records)
    for column in ("predicted", "error_pct", "reason"):
        if column not in table:
            table[column] = np.nan if column != "reason" else None
    return Validation(table)


def case_records(case: Case) -> list[dict[str, Any]]:
    """A record for each row of a case."""
    about = {
        "kind": case.load.kind,
        "hardware": case.hardware.name,
        "engine": case.engine.name,
        "model": case.model.name,
        "group": case.group,
        "case": case.name,
    }
    records: list[dict[str, Any]] = []
    reason, outcome = None, None
    try:
        outcome = resimulate(case)
    except CannotSay as error:
        reason = str(error)
    for row in case.rows:
        record = {**row.labels, **about, "metric": row.metric, "statistic": row.statistic, "actual": row.actual}
        if outcome is None:
            records.append({**record, "reason": reason})
            continue
        try:
            value = predicted(case, outcome, row.metric, row.statistic, row.stage)
        except CannotSay as error:
            records.append({**record, "reason": str(error)})
            continue
        error_pct = 100.0 * (value / row.actual - 1.0) if row.actual else None
        records.append({**record, "predicted": value, "error_pct": error_pct, "dominant": outcome.dominant})
    return records


def summed_up(found: Validation, columns: Sequence[str] = ("kind", "hardware", "engine", "metric")) -> "pd.DataFrame":
    """`found.by(...)`, the most rows first."""
    return found.by(*columns).sort_values("rows", ascending=False, kind="stable")
