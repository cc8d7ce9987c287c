"""Prompt and output lengths of a workload's requests, drawn together.

Not here: the distributions (`lengths.py`), and when requests arrive (`traffic.py`).
"""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np

from infersim.spec.workload import Workload
from infersim.workload.lengths import Tokens, length_blocks, partner_blocks

BLOCK = 4096
"""Lengths at a time where all are the same."""


def paired_lengths(
    workload: Workload, seed: int, directory: Path | None, name: str = ""
) -> tuple[Iterator[Tokens], Iterator[Tokens]]:
    """Prompt and output lengths for ever, with the stated rank correlation; an image's output is its steps."""
    first, second = f"{name}input_tokens", f"{name}output_tokens"
    if workload.is_kind == "image":
        return repeat(np.ones(BLOCK, np.int64)), repeat(np.full(BLOCK, workload.steps, np.int64))
    assert workload.input_tokens is not None
    if workload.is_kind == "embedding":
        return length_blocks(workload.input_tokens, seed, first, directory), repeat(np.zeros(BLOCK, np.int64))
    assert workload.output_tokens is not None
    if not workload.length_correlation:
        inputs = length_blocks(workload.input_tokens, seed, first, directory)
        return inputs, length_blocks(workload.output_tokens, seed, second, directory)
    inputs = partner_blocks(workload.input_tokens, seed, first, directory)
    correlation = workload.length_correlation
    return inputs, length_blocks(workload.output_tokens, seed, second, directory, first, correlation)
