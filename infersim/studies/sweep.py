"""One scenario at many points: any keys, all combinations or a Latin hypercube, one row of headline numbers a point.

    table = sweep("h100_llama70b", {"pools.0.replicas.initial": [1, 2], "workload.arrivals.rate_rps": [2, 4, 8]}).table

All points see the same random numbers (the scenario's seed), so that differences between rows come from the keys.
With `out`, each finished point becomes a small file, named by a hash of all that decides it; a sweep that was
interrupted, or that is asked again with more points, repeats none of them.

Not here: what a row holds (`rows.py`), how points are made (`grid.py`), where they run (`tasks.py`).
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from infersim.results.directory import OutputError, write_parquet
from infersim.studies.errors import StudyError
from infersim.studies.grid import Grid, Settings, cartesian, latin_hypercube, parse_grid
from infersim.studies.rows import Row, fingerprint, run_row
from infersim.studies.tasks import Failed, Machines, each
from infersim.studies.variants import Source, Variant, refuse_faulty, variants

TABLE, POINTS = "sweep.parquet", "points"
"""The table, and the folder of finished points, in a sweep's directory."""

Progress = Callable[[float, float], None]
"""Called with points done and points to do."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep found."""

    table: pd.DataFrame
    """One row a point, in the order of the grid: point, the grid's keys, status (done, failed, invalid), why, and
    every headline number of the summary under its dotted key."""
    reused: int
    """Points that an earlier sweep had finished."""
    directory: Path | None
    """Where the table and the points lie."""

    @property
    def failed(self) -> pd.DataFrame:
        """The points that failed or could not run: their settings and why."""
        return self.table[self.table["status"] != "done"]


def sweep(
    scenario: Source,
    grid: Grid | Sequence[str],
    *,
    sample: int | None = None,
    settings: Sequence[str] = (),
    skip_invalid: bool = False,
    out: str | Path | None = None,
    workers: int | None = 1,
    cluster: Any = None,
    progress: Progress | None = None,
) -> Sweep:
    """Run the scenario at every point of a grid.

    `grid` maps keys, as `--set` takes them, to lists of values (or to `grid.Range` when sampled), or is a list of texts
    `key=v1,v2`; `sample` draws that many points of a Latin hypercube instead of all combinations. `settings` hold for
    every point. `workers` processes (None: one a core) or a Dask `cluster` share the work; the table is the same
    for any number of them.

    Raises StudyError for a bad grid, and, unless `skip_invalid`, when any point cannot run: before anything runs.
    A point that fails while it runs is reported in the table.
    """
    asked: Grid = parse_grid(grid) if not hasattr(grid, "items") else grid  # type: ignore[arg-type,assignment]
    directory = None if out is None else prepared(Path(out))
    found = variants(scenario, settings, _points(scenario, settings, asked, sample))
    if not skip_invalid:
        refuse_faulty(found)
    elif all(variant.resolved is None for variant in found):
        raise StudyError(f"none of the {len(found)} points can run; the first: {found[0].why}")
    rows, reused = run_points(found, directory, Machines(workers, cluster), progress)
    table = _table(found, rows)
    if directory is not None:
        write_parquet(table, directory / TABLE)
    return Sweep(table, reused, directory)


def _points(scenario: Source, settings: Sequence[str], grid: Grid, sample: int | None) -> list[Settings]:
    if sample is None:
        return cartesian(grid)
    seeds = [setting.partition("=")[2] for setting in settings if setting.partition("=")[0].strip() == "seed"]
    return latin_hypercube(grid, sample, int(seeds[-1]) if seeds and seeds[-1].strip().isdecimal() else 0)


def prepared(directory: Path) -> Path:
    """The directory of a study that keeps finished points, made and found writable."""
    try:
        (directory / POINTS).mkdir(parents=True, exist_ok=True)
        trial = directory / f".trial.{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {directory}: {error.strerror}; name another directory") from None
    return directory


def run_points(
    found: Sequence[Variant], directory: Path | None, machines: Machines, progress: Progress | None
) -> tuple[list[Row | Failed | None], int]:
    """The row of each point, None where it cannot run; and how many were there already."""
    files = [_file(variant, directory) for variant in found]
    rows: list[Row | Failed | None] = [_kept(file) for file in files]
    reused = sum(row is not None for row in rows)
    to_do = [
        (number, variant.resolved)
        for number, variant in enumerate(found)
        if variant.resolved is not None and rows[number] is None
    ]
    done, total = reused, reused + len(to_do)
    if progress is not None:
        progress(done, total)
    for task, answer in each(run_row, [resolved for _, resolved in to_do], machines):
        number = to_do[task][0]
        rows[number] = answer
        file = files[number]
        if file is not None and not isinstance(answer, Failed):
            _keep(file, answer)
        done += 1
        if progress is not None:
            progress(done, total)
    return rows, reused


def _file(variant: Variant, directory: Path | None) -> Path | None:
    """Where a finished point is kept."""
    if directory is None or variant.resolved is None:
        return None
    return directory / POINTS / f"{fingerprint(variant.resolved)}.json"


def _kept(file: Path | None) -> Row | None:
    """The row of a point that was finished earlier; a damaged file counts as none."""
    if file is None or not file.is_file():
        return None
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _keep(file: Path, row: Row) -> None:
    """Write a row whole or not at all."""
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(row, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    os.replace(part, file)


def _table(found: Sequence[Variant], rows: Sequence[Row | Failed | None]) -> pd.DataFrame:
    """One tidy table."""
    lines = []
    for number, (variant, row) in enumerate(zip(found, rows, strict=True)):
        line: Row = {"point": number, **{key: _cell(value) for key, value in variant.settings.items()}}
        line |= {"status": "done", "why": ""}
        if row is None:
            line |= {"status": "invalid", "why": variant.why}
        elif isinstance(row, Failed):
            line |= {"status": "failed", "why": row.why}
        else:
            line |= {key: value for key, value in row.items() if key not in line}
        lines.append(line)
    table = pd.DataFrame(lines)
    return table.assign(**{name: _one_kind(table[name]) for name in table.columns})


def _cell(value: Any) -> Any:
    """A value of a key as it can stand in a table: lists and blocks as text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _one_kind(column: pd.Series) -> pd.Series:
    """Numbers as numbers; anything mixed as text."""
    if column.dtype != object:
        return column
    kinds = {type(value) for value in column if not pd.isna(value)}
    if kinds <= {int, float}:
        return column.astype(float)
    if kinds == {bool} and not column.isna().any():
        return column.astype(bool)
    return column.map(lambda value: None if pd.isna(value) else str(value)).astype("str")
