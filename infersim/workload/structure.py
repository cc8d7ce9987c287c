"""Prompts made of parts that others share: system prompts, passages, samples of one question, images.

Takes plain requests and gives them their prompt's whole length and the chained ids of its whole blocks.
Not here: sessions, whose requests depend on each other (`sessions.py`); the ids themselves (`prompts.py`).
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from infersim.spec.lengths import Lengths
from infersim.spec.structure import Images, Rag, Reasoning, SharedPrompt
from infersim.workload.lengths import law_of, length_blocks, table_law
from infersim.workload.prompts import Indices, block_ids, content_id
from infersim.workload.requests import Requests
from infersim.workload.streams import Feed, stream

PROMPT, PASSAGE, IMAGE, TEXT, ANSWER = range(5)
"""Kinds of content; ids of different kinds do not meet."""


class Parts(NamedTuple):
    """What stands before the text of each prompt: how many parts, their contents and tokens, prompt after prompt."""

    parts: Indices
    content: Indices
    tokens: Indices


def structured(
    spec: SharedPrompt | Rag | Reasoning | Images,
    blocks: Iterator[Requests],
    seed: int,
    directory: Path | None,
    name: str,
) -> Iterator[Requests]:
    """The requests with their structure, in the same order; sampling makes several of one.

    Classes of different names share no content. Streams are named after `name`, so structure moves no arrival.
    """
    match spec:
        case SharedPrompt():
            return _with_parts(blocks, _prompts(spec, seed, directory, name), spec.block_tokens, name)
        case Rag():
            return _with_parts(blocks, _passages(spec, seed, directory, name), spec.block_tokens, name)
        case Images():
            return _with_parts(blocks, _images(spec, seed, directory, name), spec.block_tokens, name, True)
        case Reasoning():
            return _sampled(spec, _with_parts(blocks, _nothing, spec.block_tokens, name), seed, directory, name)


def _with_parts(
    blocks: Iterator[Requests], before: Callable[[int], Parts], block_tokens: int, name: str, images: bool = False
) -> Iterator[Requests]:
    """The requests with parts (or `images`) before their text, whose content nobody else has."""
    number = 0
    for block in blocks:
        parts, count = before(len(block)), len(block)
        text = content_id(TEXT, family(name), number + np.arange(count))
        number += count
        ends = np.cumsum(parts.parts)
        tokens = np.insert(parts.tokens, ends, block.input_tokens)
        segments = parts.parts + 1
        counts, ids = block_ids(np.insert(parts.content, ends, text), tokens, segments, block_tokens)
        prompt = np.repeat(np.arange(count), segments)
        whole = np.bincount(prompt, tokens, minlength=count).astype(np.int64)
        own = {"images": parts.parts} if images else {}
        yield block.with_columns(input_tokens=whole, prefix_blocks=counts, prefixes=ids, **own)


def family(name: str) -> int:
    """A number for the class that content belongs to."""
    return zlib.crc32(name.encode())


def fixed_lengths(lengths: Lengths, count: int, seed: int, name: str, directory: Path | None) -> Indices:
    """Lengths of things that keep theirs: system prompts and passages of a corpus."""
    law, rng = law_of(lengths, directory), stream(seed, name)
    return law.tokens(rng.standard_normal(count) if law.of_scores else rng.random(count))


def _popular(count: int, exponent: float) -> Callable[[np.ndarray], Indices]:
    """Uniform numbers to numbers from 0 below `count`, the k-th in proportion to k^-exponent."""
    law = table_law(np.arange(count), np.arange(1.0, count + 1) ** -exponent)
    return law.tokens


def _prompts(spec: SharedPrompt, seed: int, directory: Path | None, name: str) -> Callable[[int], Parts]:
    tokens = fixed_lengths(spec.prompt_tokens, spec.prompts, seed, f"{name}prompts", directory)
    popular, rng = _popular(spec.prompts, spec.zipf_exponent), stream(seed, f"{name}prompts.chosen")

    def before(count: int) -> Parts:
        draws = rng.random((count, 2))
        chosen = popular(draws[:, 0])[has := draws[:, 1] < spec.share]
        return Parts(has.astype(np.int64), content_id(PROMPT, family(name), chosen), tokens[chosen])

    return before


def _passages(spec: Rag, seed: int, directory: Path | None, name: str) -> Callable[[int], Parts]:
    tokens = fixed_lengths(spec.passage_tokens, spec.corpus, seed, f"{name}passages", directory)
    popular, rng = _popular(spec.corpus, spec.zipf_exponent), stream(seed, f"{name}passages.chosen")
    system = content_id(PROMPT, family(name), 0)[0]

    def before(count: int) -> Parts:
        chosen = popular(rng.random((count, spec.passages)).ravel()).reshape(count, spec.passages)
        content = np.column_stack([np.full(count, system), content_id(PASSAGE, family(name), chosen)])
        lengths = np.column_stack([np.full(count, spec.system_tokens), tokens[chosen]])
        return Parts(np.full(count, spec.passages + 1), content.ravel(), lengths.ravel())

    return before


def _images(spec: Images, seed: int, directory: Path | None, name: str) -> Callable[[int], Parts]:
    counts = Feed(length_blocks(spec.images, seed, f"{name}images", directory))
    tokens = Feed(length_blocks(spec.image_tokens, seed, f"{name}images.tokens", directory))
    rng, seen = stream(seed, f"{name}images.chosen"), 0

    def before(count: int) -> Parts:
        nonlocal seen
        images = np.where(rng.random(count) < spec.share, counts.take(count), 0)
        total = int(images.sum())
        content = content_id(IMAGE, family(name), seen + np.arange(total))
        seen += total
        return Parts(images, content, tokens.take(total))

    return before


def _nothing(count: int) -> Parts:
    empty = np.empty(0, np.int64)
    return Parts(np.zeros(count, np.int64), empty, empty)


def _sampled(
    spec: Reasoning, blocks: Iterator[Requests], seed: int, directory: Path | None, name: str
) -> Iterator[Requests]:
    """Each question as often as it is sampled, every answer with thinking of its own length before it."""
    thinking = Feed(length_blocks(spec.thinking_tokens, seed, f"{name}thinking", directory))
    for block in blocks:
        every = block if spec.samples == 1 else block.at(np.repeat(np.arange(len(block)), spec.samples))
        yield every.with_columns(output_tokens=every.output_tokens + thinking.take(len(every)))
