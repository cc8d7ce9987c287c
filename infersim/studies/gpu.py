"""Kernels timed on the GPU of this machine with PyTorch (extra `measure`): what `measure.py` fits efficiencies to.

Single kernels run in a replayed CUDA graph, so that no host is in the way; weights rotate through more memory than a cache
holds. Takes under five minutes. Not here: any formula of the cost model (`measure.py`).
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from infersim.cost.operators import layer_parts
from infersim.cost.sharding import divide
from infersim.spec.model import Model
from infersim.studies.errors import StudyError
from infersim.studies.measure import Attention, Product, Timings

TOKENS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
PROMPTS = (1024, 2048, 4096, 8192, 16384)
DECODES = ((1, 8192), (8, 2048), (32, 2048), (64, 2048), (64, 4096), (128, 2048))
"""(sequences, context of each)."""
MESSAGES = tuple(1 << n for n in range(13, 29, 3))
"""8 KiB to 128 MiB."""
REPEATS = 10
ROTATED_BYTES = 512e6
"""Weights of one shape take about this much memory together: more than any cache holds."""
MOST_BYTES = 8e9
"""The largest tensor that is made."""


def torch_with_gpu() -> Any:
    """PyTorch; StudyError that says what is missing."""
    try:
        torch = import_module("torch")
    except ImportError:
        raise StudyError("needs PyTorch and a GPU: pip install 'infersim[measure]'", "measure") from None
    if not torch.cuda.is_available():
        raise StudyError("needs a GPU, and PyTorch sees none on this machine", "measure")
    return torch


def time_kernels(model: Model, progress: Callable[[float, float], None] | None = None) -> Timings:
    """Time products in the shapes of the model's layers, attention, a copy, an empty kernel and all-reduces."""
    torch = torch_with_gpu()
    done = iter(range(1, 6))

    def step(found: Any) -> Any:
        if progress is not None:
            progress(next(done), 5)
        return found

    with torch.inference_mode():
        products = step(_products(torch, model))
        prefill = step([_prefill(torch, model, tokens) for tokens in PROMPTS])
        decode = step([_decode(torch, model, batch, context) for batch, context in DECODES])
        stream, floor = step((_stream_bytes_s(torch), _floor_s(torch)))
    several = torch.cuda.device_count() > 1
    return Timings(
        device=torch.cuda.get_device_name(0),
        products=products,
        prefill=prefill,
        decode=[run for run in decode if run is not None],
        stream_bytes_s=stream,
        floor_s=floor,
        all_reduce=step(_all_reduces(torch, torch.cuda.device_count()) if several else []),
    )


def _seconds(torch: Any, launch: Callable[[int], None]) -> float:
    """Time of one launch, of `REPEATS` different ones in a replayed graph [s]."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for number in range(REPEATS):
            launch(number)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for number in range(REPEATS):
            launch(number)
    times = []
    for _ in range(5):
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begun.record()
        graph.replay()
        ended.record()
        torch.cuda.synchronize()
        times.append(begun.elapsed_time(ended) * 1e-3 / REPEATS)
    return float(sorted(times)[len(times) // 2])


def product_shapes(model: Model) -> list[tuple[int, int]]:
    """(rows k, columns n) of the model's dense products on one chip, each once."""
    shapes = [
        (round(operator.shape[0]), round(operator.shape[1]))
        for part in layer_parts(model, divide(model, 1))
        for operator in part.operators
        if operator.shape and not operator.experts
    ]
    return list(dict.fromkeys(shapes))


def _products(torch: Any, model: Model) -> list[Product]:
    dtypes = ["bf16", *(["fp8"] if torch.cuda.get_device_capability() >= (8, 9) else [])]
    found = []
    for dtype in dtypes:
        for k, n in product_shapes(model):
            if dtype == "fp8" and (k % 16 or n % 16):
                continue
            copies = max(1, min(REPEATS, round(ROTATED_BYTES / (2 * n * k))))
            weights = [_tensor(torch, (n, k), dtype) for _ in range(copies)]
            for m in TOKENS:
                if m == 1 and dtype == "fp8":
                    continue
                found.append(Product(dtype, m, n, k, _seconds(torch, _multiply(torch, weights, m, k, dtype))))
    return found


def _tensor(torch: Any, shape: tuple[int, ...], dtype: str) -> Any:
    values = torch.randn(shape, device="cuda", dtype=torch.bfloat16)
    return values if dtype == "bf16" else values.to(torch.float8_e4m3fn)


def _multiply(torch: Any, weights: list[Any], m: int, k: int, dtype: str) -> Callable[[int], None]:
    tokens = _tensor(torch, (m, k), dtype)
    if dtype == "bf16":
        return lambda number: torch.nn.functional.linear(tokens, weights[number % len(weights)])
    one = torch.ones((), device="cuda")

    def scaled(number: int) -> None:
        weight = weights[number % len(weights)].t()
        torch._scaled_mm(tokens, weight, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    return scaled


def _flash(torch: Any, query: Any, key: Any, value: Any, causal: bool) -> None:
    attention = import_module("torch.nn.attention")
    with attention.sdpa_kernel(attention.SDPBackend.FLASH_ATTENTION):
        torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)


def _prefill(torch: Any, model: Model, tokens: int) -> Attention:
    heads, size = model.attention.heads, model.attention.head_dim
    query, key, value = (_tensor(torch, (1, heads, tokens, size), "bf16") for _ in range(3))
    seconds = _seconds(torch, lambda _: _flash(torch, query, key, value, True))
    return Attention(1, tokens, tokens, heads, model.attention.kv_heads, size, seconds)


def _decode(torch: Any, model: Model, batch: int, context: int) -> Attention | None:
    """One query of every sequence: the queries that share keys stand beside each other; None if it does not fit."""
    heads, kv_heads, size = model.attention.heads, model.attention.kv_heads, model.attention.head_dim
    if 4.0 * batch * kv_heads * context * size > MOST_BYTES:
        return None
    query = _tensor(torch, (batch, kv_heads, heads // kv_heads, size), "bf16")
    key, value = (_tensor(torch, (batch, kv_heads, context, size), "bf16") for _ in range(2))
    seconds = _seconds(torch, lambda _: _flash(torch, query, key, value, False))
    return Attention(batch, 1, context, heads, kv_heads, size, seconds)


def _stream_bytes_s(torch: Any) -> float:
    source = torch.empty(int(1e9), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2e9 / _seconds(torch, lambda _: target.copy_(source))


def _floor_s(torch: Any) -> float:
    one = torch.ones(1, device="cuda")
    return _seconds(torch, lambda _: one.add_(0.0))


def _all_reduces(torch: Any, gpus: int) -> list[tuple[int, int, float]]:
    """(chips, bytes, seconds) over all GPUs of this machine, one process each."""
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(_reduce_on, args=(gpus, queue), nprocs=gpus)
    return [queue.get() for _ in MESSAGES]


def _reduce_on(rank: int, gpus: int, queue: Any) -> None:
    """One process of an all-reduce; the first reports."""
    torch = import_module("torch")
    distributed = import_module("torch.distributed")
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533"}
    torch.cuda.set_device(rank)
    distributed.init_process_group("nccl", rank=rank, world_size=gpus)
    for size in MESSAGES:
        values = torch.zeros(size // 2, dtype=torch.bfloat16, device="cuda")
        for _ in range(REPEATS):
            distributed.all_reduce(values)
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begun.record()
        for _ in range(REPEATS):
            distributed.all_reduce(values)
        ended.record()
        torch.cuda.synchronize()
        if rank == 0:
            queue.put((gpus, size, begun.elapsed_time(ended) * 1e-3 / REPEATS))
    distributed.destroy_process_group()
