"""One run as one row: the summary's headline numbers flattened, and the name under which the row can be kept.

    latency.ttft_s.p99   cost.usd_per_million_output_tokens   pools.h100.utilisation.mfu   ...

Not here: the numbers themselves (`infersim/results/summary.py`). Read `sweep.py` next.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infersim import __version__
from infersim.simulate import simulate
from infersim.spec.resolve import ResolvedScenario, resolved_yaml

Row = dict[str, Any]

LEFT_OUT = ("scenario.description", "infersim", "slo.over_time.windows")
"""Keys of the summary that are the same for every row, mere prose or a table of their own."""


def run_row(resolved: ResolvedScenario) -> Row:
    """Simulate, and return the summary as one flat row of numbers and words; NaN is None, so that it keeps as JSON."""
    return flat(simulate(resolved).summary)


def flat(summary: Mapping[str, Any]) -> Row:
    """Nested dictionaries as dotted keys; lists of words joined by `; `, NaN as None."""
    return {key: value for key, value in _leaves(summary, "") if not key.startswith(LEFT_OUT)}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        yield path, "; ".join(map(str, value))
    else:
        yield path, None if isinstance(value, float) and not math.isfinite(value) else value


def fingerprint(resolved: ResolvedScenario) -> str:
    """A hash of everything that decides a run: scenario, profiles, plugins, files of the workload, version."""
    parts = [__version__, resolved_yaml(resolved.scenario), *(model.model_dump_json() for model in resolved.models)]
    for pool in resolved.pools:
        parts += [pool.hardware.model_dump_json(), pool.engine.model_dump_json()]
    tables = [
        resolved.directory_of(("pools", i, "cost", "file")) / pool.pool.cost.file
        for i, pool in enumerate(resolved.pools)
        if pool.pool.cost.file
    ]
    files = [*resolved.plugin_files, *_workload_files(resolved), *tables]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


def _workload_files(resolved: ResolvedScenario) -> list[Path]:
    """The files that the workload reads, where they are found; all files of a folder."""
    from infersim.workload.traces import find_trace

    leaves = _leaves(resolved.scenario.workload.model_dump(), "")
    names = [value for key, value in leaves if value and key.rpartition(".")[2] in ("file", "lengths_file")]
    directory = resolved.directory_of(("workload", "arrivals", "file"))
    found = [find_trace(name, directory) for name in names]
    return [file for path in found for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
