"""Operators of NVIDIA chips as measured by the package `aiconfigurator-core` (extra `silicon`), read where it is installed.

The package holds Parquet files by chip, operator, engine and the engine's version: products (m, n, k), context and
generation attention, experts, all-reduce; latencies in ms. The newest version of the engine is taken unless one is
asked for, and said aloud. Not here: how tables are used (`measured.py`, `tabled.py`).
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infersim.cost.measured import BY_BLOCK, ExpertShape, Grid, Heads, Measured, grid

if TYPE_CHECKING:
    import pyarrow as pa

SYSTEMS = {
    "a100-sxm-80gb": "a100_sxm", "h100-sxm": "h100_sxm", "h200-sxm": "h200_sxm", "b200-sxm": "b200_sxm",
    "b300-sxm": "b300_sxm", "gb200-nvl72": "gb200", "gb300-nvl72": "gb300", "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
}  # fmt: skip
"""Our chips, and what the package calls them."""
ENGINES = {
    "vllm": "vllm", "vllm-0.13": "vllm", "sglang": "sglang", "sglang-0.5.10": "sglang", "tensorrt-llm": "trtllm", "tensorrt-llm-1.2": "trtllm",
}  # fmt: skip
PRODUCTS = {"bf16": ("bfloat16",), "fp16": ("bfloat16",), "fp8": ("fp8", "fp8_block"), "fp4": ("nvfp4",),
            "int8": ("int8_wo", "sq"), "int4": ("int4_wo",)}  # fmt: skip
"""Our dtypes of weights, and the package's, the first that was measured."""
EXPERTS = {"bf16": ("bfloat16",), "fp16": ("bfloat16",), "fp8": ("fp8", "fp8_block"), BY_BLOCK: ("fp8_block", "fp8"),
           "fp4": ("nvfp4", "w4a8_mxfp4_mxfp8", "w4a16_mxfp4"), "int4": ("int4_wo",)}  # fmt: skip
CACHES = {"bfloat16": "bf16", "float16": "bf16", "fp8": "fp8"}
UNEVEN = ("power_law_1.01", "power_law_1.2", "balanced")
"""How tokens were spread over experts, the likest to real text first."""


STATIC_SCALES = ("trtllm",)
"""Engines whose checkpoints in 8 and 4 bits bring the scales of inputs along, while the package's products find them each time: the
package times that alone (in 8 bits; it is a look for the largest input), and it is taken off."""
LEFT = 0.25
"""Share of a product's time that is left at least when that is taken off."""
STATIC_SCALES_OF = ("fp8", "fp4")
"""Dtypes whose checkpoints do so."""


class NoTables(ValueError):
    """Nothing was measured for this chip and engine, or the package is not installed; the message says what to do."""


def silicon(chip: str, engine: str, version: str | None = None) -> Measured:
    """What was measured of `chip` under `engine` (names of our catalogue); NoTables says what is missing."""
    if chip not in SYSTEMS:
        raise NoTables(f"aiconfigurator-core has no measurements of {chip}; it has {', '.join(SYSTEMS)}")
    if engine not in ENGINES:
        raise NoTables(f"aiconfigurator-core has no measurements under {engine}; it has {', '.join(ENGINES)}")
    return _read(str(package_data() / SYSTEMS[chip]), chip, ENGINES[engine], version)


def package_data() -> Path:
    """Where the package keeps its measurements; NoTables when it is not installed."""
    from importlib.util import find_spec

    found = find_spec("aiconfigurator_core")
    if found is None or not found.submodule_search_locations:
        raise NoTables("measured costs need the extra silicon: pip install 'infersim[silicon]'")
    return Path(found.submodule_search_locations[0]) / "systems" / "data"


@lru_cache(maxsize=16)
def _read(folder: str, chip: str, engine: str, version: str | None) -> Measured:
    """All tables of one chip and engine."""
    from importlib.metadata import version as installed

    system = Path(folder)
    versions: dict[str, str] = {}

    def tables(operator: str, name: str) -> "list[pa.Table]":
        import pyarrow.parquet as pq

        files = _by_age(system / operator / engine, name, version)
        if files:
            versions[operator] = ", ".join(file.parent.name for file in files)
        return [pq.read_table(file) for file in files]

    def newest(operator: str, name: str) -> "pa.Table | None":
        found = tables(operator, name)
        if found:
            versions[operator] = versions[operator].split(", ")[0]
        return found[0] if found else None

    experts: dict[ExpertShape, Grid] = {}
    for table in tables("moe", "moe_perf.parquet"):  # a release may hold the shapes of new models alone
        experts = _experts(table) | experts
    measured = Measured(
        source="",
        products=_products(
            newest("gemm", "gemm_perf.parquet"),
            newest("quantize", "computescale_perf.parquet") if engine in STATIC_SCALES else None,
        ),
        decode=_attention(newest("attention", "generation_attention_perf.parquet"), decode=True),
        prefill=_attention(newest("attention", "context_attention_perf.parquet"), decode=False),
        experts=experts,
        all_reduce=_all_reduce(newest("comm", "custom_allreduce_perf.parquet")),
    )
    if not measured.products or version not in (None, versions.get("gemm")):
        has = sorted(p.name for p in (system / "gemm" / engine).glob("*"))
        what = f"aiconfigurator-core has no products of {chip} under {engine} {version or ''}".rstrip()
        raise NoTables(f"{what}; versions there: {', '.join(has) or 'none'}")
    said = ", ".join(f"{operator} {engine} {release}" for operator, release in versions.items())
    return Measured(
        f"{chip}, aiconfigurator-core {installed('aiconfigurator-core')}: {said}", measured.products, measured.decode,
        measured.prefill, measured.experts, measured.all_reduce,
    )  # fmt: skip


def _by_age(folder: Path, name: str, version: str | None) -> list[Path]:
    """The file of the version asked for, if there is one; else those of all releases, the newest first."""
    if version is not None and (folder / version / name).is_file():
        return [folder / version / name]
    files = [path for path in folder.glob(f"*/{name}") if ".dev" not in path.parent.name]
    return sorted(files, key=lambda path: _order(path.parent.name), reverse=True)


def _order(version: str) -> tuple[int, ...]:
    """Numbers of a version, a release candidate before its release."""
    import re

    release, _, candidate = version.partition("rc")
    numbers = [int(n) for n in re.findall(r"\d+", release)]
    return (*numbers[:3], *[0] * (3 - len(numbers)), int(candidate) if candidate.isdigit() else 10_000)


def _column(table: "pa.Table", name: str) -> np.ndarray:
    return table.column(name).to_numpy(zero_copy_only=False)


def _numbers(table: "pa.Table", *names: str) -> list[np.ndarray]:
    return [_column(table, name).astype(np.float64) for name in names]


def _seconds(table: "pa.Table") -> np.ndarray:
    return _column(table, "latency").astype(np.float64) * 1e-3


def _chosen(table: "pa.Table", column: str, wanted: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Rows of each of our dtypes: those of the first of the package's that was measured."""
    values = _column(table, column)
    present = set(values)
    best = {ours: next((name for name in theirs if name in present), None) for ours, theirs in wanted.items()}
    return {ours: values == name for ours, name in best.items() if name is not None}


def _products(table: "pa.Table | None", scales: "pa.Table | None") -> dict[str, Grid]:
    """By our dtypes, over (tokens, columns, rows); `scales` are the times in which inputs' scales were found."""
    if table is None:
        return {}
    m, n, k = _numbers(table, "m", "n", "k")
    seconds = _seconds(table)
    rows = _chosen(table, "gemm_dtype", PRODUCTS)
    found = {ours: grid(m[at], n[at], k[at], seconds=seconds[at]) for ours, at in rows.items()}
    for ours in STATIC_SCALES_OF if scales is not None else ():
        if ours not in found:
            continue
        known = grid(*_numbers(scales, "m", "k"), seconds=_seconds(scales))
        tokens, _, width = found[ours].axes
        spent = known.at(lambda m, k: np.ones_like(m), *np.meshgrid(tokens, width, indexing="ij"))
        whole = found[ours].seconds
        found[ours] = Grid(found[ours].axes, np.maximum(whole - spent[:, None, :], LEFT * whole))
    return found


def _attention(table: "pa.Table | None", decode: bool) -> dict[Heads, Grid]:
    """By shape: over (sequences, context) in decode, over (tokens,) of a single prompt in prefill."""
    if table is None:
        return {}
    names = ("num_heads", "num_key_value_heads", "head_dim", "batch_size", "isl", "step")
    heads, kv_heads, size, batch, prompt, past = _numbers(table, *names)
    windowed = "window_size" in table.column_names
    window = _numbers(table, "window_size")[0] if windowed else np.zeros(len(heads))
    seconds, cache = _seconds(table), _column(table, "kv_cache_dtype")
    whole = (window == 0) & np.isin(cache, list(CACHES)) & (decode | (batch == 1))
    kv_heads = np.where(kv_heads == 0, heads, kv_heads)
    shapes = np.stack([heads, kv_heads, size, cache == "fp8"], axis=1)[whole]
    found, member = np.unique(shapes, axis=0, return_inverse=True)
    columns = (batch[whole], (past + prompt)[whole]) if decode else (prompt[whole],)
    order = np.argsort(member, kind="stable")
    edges = np.searchsorted(member[order], np.arange(len(found) + 1))
    tables = {}
    for number, (h, kv, dim, small) in enumerate(found):
        at = order[edges[number] : edges[number + 1]]
        key = Heads(int(h), int(kv), int(dim), "fp8" if small else "bf16")
        tables[key] = grid(*(column[at] for column in columns), seconds=seconds[whole][at])
    return tables | {_sixteen(key): value for key, value in tables.items() if key.kv_cache == "bf16"}


def _sixteen(key: Heads) -> Heads:
    """The same with keys and values in fp16, which no kernel tells from bf16."""
    return Heads(key.heads, key.kv_heads, key.head_dim, "fp16")


def _experts(table: "pa.Table") -> dict[ExpertShape, Grid]:
    names = ("hidden_size", "inter_size", "num_experts", "topk", "moe_tp_size", "moe_ep_size")
    shapes = np.stack(_numbers(table, *names), axis=1)
    tokens, seconds = _numbers(table, "num_tokens")[0], _seconds(table)
    spread = _column(table, "distribution")
    tables: dict[ExpertShape, Grid] = {}
    for ours, theirs in EXPERTS.items():
        dtype = _column(table, "moe_dtype")
        for name in theirs:
            for how in UNEVEN:
                at = np.flatnonzero((dtype == name) & (spread == how))
                found, member = np.unique(shapes[at], axis=0, return_inverse=True)
                for number, shape in enumerate(found):
                    hidden, width, count, chosen, tensor, expert = (int(value) for value in shape)
                    key = ExpertShape(hidden, width, count, chosen, tensor, expert, ours)
                    rows = at[member == number]
                    tables.setdefault(key, grid(tokens[rows], seconds=seconds[rows]))
    return tables


def _all_reduce(table: "pa.Table | None") -> dict[int, Grid]:
    """By chips, over bytes; messages are counted in elements of 16 bit, and replayed graphs are what decode runs."""
    if table is None:
        return {}
    chips, elements = _numbers(table, "num_gpus", "message_size")
    seconds = _seconds(table)
    names = table.column_names
    graph = np.char.endswith(_column(table, "backend").astype(str), "_eager") if "backend" in names else chips < 0
    return {
        int(n): grid(2.0 * elements[at], seconds=seconds[at])
        for n in np.unique(chips)
        if (at := (chips == n) & ~graph).any()
    }
