"""Names for what a prompt begins with: chained ids of its whole blocks, from the pieces that it is made of.

A prompt is a sequence of segments (a system prompt, a passage, a turn), each with a content id and a number of tokens.
Two prompts share the id of a block exactly if they agree in every segment up to its end. Not here: where the
segments come from (`sessions.py`, `formats/ragpulse.py`), caches, and reuse in a trace (`reuse.py`).
"""

import numpy as np
from numpy.typing import NDArray

from infersim.workload.requests import Requests

Indices = NDArray[np.int64]

_SPAN = 1 << 40
"""More tokens than any prompt has."""


def mixed_bits(values: NDArray) -> NDArray[np.uint64]:
    """A 64-bit hash of whole numbers (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    bits = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def content_id(*numbers: int | Indices) -> Indices:
    """A 63-bit id of content that these numbers (arrays of one length among them) name together."""
    bits = np.zeros(1, np.uint64)
    for number in numbers:
        bits = mixed_bits(bits ^ mixed_bits(np.atleast_1d(np.asarray(number, np.int64))))
    return (bits >> np.uint64(1)).astype(np.int64)


def block_ids(content: Indices, tokens: Indices, segments: Indices, block_tokens: int) -> tuple[Indices, Indices]:
    """How many whole blocks each prompt has, and their ids, prompt after prompt.

    `segments` counts each prompt's segments; `content` and `tokens` are theirs, prompt after prompt. A block's id is a
    hash of its end and of every segment that begins before it, each with its place.
    """
    prompt = np.repeat(np.arange(segments.size), segments)
    filled = tokens > 0
    prompt, content, tokens = prompt[filled], content[filled], tokens[filled]
    if not prompt.size:
        return np.zeros(segments.size, np.int64), np.empty(0, np.int64)
    totals = np.bincount(prompt, tokens, minlength=segments.size).astype(np.int64)
    before = np.cumsum(totals) - totals
    starts = np.cumsum(tokens) - tokens - before[prompt]
    sums = np.cumsum(mixed_bits(content.astype(np.uint64) ^ mixed_bits(starts)), dtype=np.uint64)
    first = np.searchsorted(prompt, np.arange(segments.size))
    base = np.concatenate([np.zeros(1, np.uint64), sums])[first]

    blocks = totals // block_tokens
    owner = np.repeat(np.arange(segments.size), blocks)
    ends = (np.arange(owner.size) - (np.cumsum(blocks) - blocks)[owner] + 1) * block_tokens
    place = np.searchsorted(prompt * _SPAN + starts, owner * _SPAN + ends - 1, side="right") - 1
    ids = mixed_bits((sums[place] - base[owner]) ^ mixed_bits(ends)) >> np.uint64(1)
    return blocks, ids.astype(np.int64)


def check_blocks(have: int, want: int) -> None:
    """Raise ValueError unless blocks of one size can be told as blocks of the other."""
    if have % want and want % have:
        what = f"prefix blocks of {have} tokens cannot be told as blocks of {want}"
        raise ValueError(f"{what}; one size must be a multiple of the other")


def reblocked(block: Requests, have: int, want: int) -> Requests:
    """The same requests with whole blocks of another size.

    A small block's id is made of the large one's and its place in it; a large block's id is that of its last small one.
    A partial last block is split as far as its tokens fill whole small blocks.
    """
    check_blocks(have, want)
    counts = np.minimum(block.prefix_blocks * have, block.input_tokens) // want
    owner = np.repeat(np.arange(len(block)), counts)
    place = np.arange(owner.size) - (np.cumsum(counts) - counts)[owner]
    if have >= want:
        ratio = have // want
        ids = content_id(block.prefixes[block.prefix_start[owner] + place // ratio], place % ratio)
    else:
        ids = block.prefixes[block.prefix_start[owner] + (place + 1) * (want // have) - 1]
    return block.with_columns(prefix_blocks=counts, prefixes=ids)
