"""Published measurements as cases that can be re-simulated: three schemas of tables, and folders of single requests.

What is said differently by different sources (chips, engines, dtypes, layouts) is translated where it is read, and a
row that says too little is refused with the reason, never guessed silently: what had to be assumed stands in the case.
Read `cases.py` for what a case is. Not here: serving them (`resimulation.py`), errors (`validation.py`).
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from infersim.spec.errors import Problem, SpecError
from infersim.studies import calibration_rows, online_rows, silicon_rows
from infersim.studies.cases import Case, Reading, Refused
from infersim.studies.cells import check
from infersim.studies.request_rows import request_cases

SCHEMAS = (
    ({"run", "stage", "gpu_kv_blocks"}, online_rows.CELLS, online_rows.online_cases),
    ({"id", "scenario", "isl_tokens", "metric"}, calibration_rows.CELLS, calibration_rows.calibration_cases),
    ({"id", "backend", "system", "silicon_ttft_ms"}, silicon_rows.CELLS, silicon_rows.silicon_cases),
)
"""Columns by which a table is known, what their cells must hold, and who reads it."""


def read_measurements(path: Path) -> Reading:
    """The cases of a table in either schema, of all tables in a folder, or of folders of single requests.

    Raises SpecError for anything else.
    """
    if path.is_dir() and (tables := sorted(path.glob("*.csv"))) and not (path / "meta.json").is_file():
        readings = [read_measurements(table) for table in tables]
        return Reading([c for r in readings for c in r.cases], [x for r in readings for x in r.refused])
    if path.is_dir():
        folders = [path] if (path / "requests.jsonl").is_file() else sorted(p.parent for p in path.glob("*/meta.json"))
        if not folders:
            raise SpecError(Problem("holds no requests.jsonl with its meta.json", source=str(path)))
        return _collected(request_cases(folders))
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            lines = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", source=str(path))) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecError(Problem(f"is no CSV in UTF-8: {error}", source=str(path))) from error
    columns = set(lines[0][1]) if lines else set()
    for known, cells, cases in SCHEMAS:
        if known <= columns:
            check(lines, cells, str(path))
            return _collected(cases([row for _, row in lines]))
    raise SpecError(
        Problem(
            "is no table of measurements: wanted are the columns id, scenario, isl_tokens, metric ... or run, stage, "
            f"gpu_kv_blocks ... or id, backend, system, silicon_ttft_ms ...; found {', '.join(sorted(columns)) or 'nothing'}",
            source=str(path),
        )
    )


def _collected(found: Iterable[Case | Refused]) -> Reading:
    reading = Reading()
    for one in found:
        (reading.cases if isinstance(one, Case) else reading.refused).append(one)  # type: ignore[arg-type]
    return reading
