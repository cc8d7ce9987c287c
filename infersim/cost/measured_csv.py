"""Tables of measurements in CSV: of operators, or of whole steps. The format, so that any profiler can write it:

    operator,dtype,m,n,k,heads,kv_heads,head_dim,batch,context,hidden,intermediate,experts,per_token,tensor,expert,chips,bytes,latency_us

`operator` is one of
- gemm: (m x k) by (k x n), weights stored as `dtype`; columns m, n, k
- decode_attention: one layer; `batch` sequences that attend `context` tokens each; heads, kv_heads and head_dim of one
  chip; `dtype` is that of keys and values
- prefill_attention: one layer and one prompt of `context` tokens; the same columns but batch
- experts: one layer's routed experts for m tokens; hidden, intermediate, experts, per_token, and over how many chips:
  tensor that share each expert, expert groups that hold different ones
- all_reduce: `bytes` over `chips` chips
Columns that no row needs may be left out, cells that a row does not need may be empty. Or, of whole steps,

    phase,batch,context,latency_us

where `phase` is decode (batch sequences with context tokens each) or prefill (batch prompts of context tokens).
Errors say file, line, column, what was found and what would be right. Not here: what tables do (`measured.py`,
`step_table.py`).
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import get_args

import numpy as np

from infersim.cost.measured import ExpertShape, Grid, Heads, Measured, grid
from infersim.cost.step_table import StepTable
from infersim.spec.base import Dtype
from infersim.spec.errors import Problem, SpecError, nearest

SHAPE = ("heads", "kv_heads", "head_dim")
EXPERT_SHAPE = ("hidden", "intermediate", "experts", "per_token", "tensor", "expert")
OPERATORS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gemm": ((), ("m", "n", "k")),
    "decode_attention": (SHAPE, ("batch", "context")),
    "prefill_attention": (SHAPE, ("context",)),
    "experts": (EXPERT_SHAPE, ("m",)),
    "all_reduce": (("chips",), ("bytes",)),
}
"""By operator: columns that name a table, columns that are its coordinates."""
DTYPED = ("gemm", "decode_attention", "prefill_attention", "experts")
DTYPES = get_args(Dtype)


def read_measured(path: Path) -> Measured | StepTable:
    """The tables in a file; SpecError for a file that is none."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", source=str(path))) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecError(Problem(f"is no CSV in UTF-8: {error}", source=str(path))) from error
    columns = set(rows[0][1]) if rows else set()
    if {"phase", "batch", "context", "latency_us"} <= columns:
        return _steps(path, rows)
    if {"operator", "latency_us"} <= columns:
        return _operators(path, rows)
    raise SpecError(
        Problem(
            "is no table of measurements: wanted are the columns operator, dtype, m, n, k ..., latency_us or phase, "
            f"batch, context, latency_us; found {', '.join(sorted(columns)) or 'nothing'}",
            source=str(path),
        )
    )


def _steps(path: Path, rows: list[tuple[int, dict[str, str]]]) -> StepTable:
    found: dict[str, list[tuple[int, float, float]]] = {"decode": [], "prefill": []}
    for line, row in rows:
        if row["phase"] not in found:
            raise _wrong(path, line, "phase", f"found {row['phase']!r}; must be decode or prefill")
        batch, context, latency = (_number(path, line, row, column) for column in ("batch", "context", "latency_us"))
        found[row["phase"]].append((round(batch), context, latency * 1e-6))
    return StepTable(path.name, tuple(found["decode"]), tuple(found["prefill"]))


def _operators(path: Path, rows: list[tuple[int, dict[str, str]]]) -> Measured:
    points: dict[str, dict[tuple, list[tuple[float, ...]]]] = {name: defaultdict(list) for name in OPERATORS}
    for line, row in rows:
        name = row["operator"]
        if name not in OPERATORS:
            raise _wrong(path, line, "operator", f"found {name!r}; {nearest(name, list(OPERATORS))}")
        keys, axes = OPERATORS[name]
        key: tuple = tuple(round(_number(path, line, row, column)) for column in keys)
        if name in DTYPED:
            if row.get("dtype") not in DTYPES:
                raise _wrong(path, line, "dtype", f"found {row.get('dtype')!r}; must be one of {', '.join(DTYPES)}")
            key = (*key, row["dtype"])
        values = [_number(path, line, row, column) for column in (*axes, "latency_us")]
        points[name][key].append(tuple(values))

    def tables(name: str) -> dict[tuple, Grid]:
        found = {}
        for key, values in points[name].items():
            *columns, latency = (np.array(column) for column in zip(*values, strict=True))
            found[key] = grid(*columns, seconds=latency * 1e-6)
        return found

    return Measured(
        source=path.name,
        products={key[0]: table for key, table in tables("gemm").items()},
        decode={Heads(*key): table for key, table in tables("decode_attention").items()},
        prefill={Heads(*key): table for key, table in tables("prefill_attention").items()},
        experts={ExpertShape(*key): table for key, table in tables("experts").items()},
        all_reduce={key[0]: table for key, table in tables("all_reduce").items()},
    )


def _number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    """A cell's number, more than 0."""
    text = (row.get(column) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise _wrong(path, line, column, f"found {text!r}; must be a number greater than 0")
    return value


def _wrong(path: Path, line: int, column: str, message: str) -> SpecError:
    return SpecError(Problem(message, source=str(path), line=line, path=(column,)))
