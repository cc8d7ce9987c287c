"""Named streams: stable over processes, independent of each other; feeds cut without changing anything."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infersim.workload.streams import Feed, stream

ROOT = Path(__file__).parents[2]


def test_a_stream_is_the_same_in_another_process_with_other_string_hashes():
    code = "from infersim.workload.streams import stream; print(stream(7, 'arrivals').random(3).tobytes().hex())"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == stream(7, "arrivals").random(3).tobytes().hex()


def test_streams_of_other_names_and_seeds_are_uncorrelated():
    count = 20_000
    names = [(0, "arrivals"), (0, "input_tokens"), (0, "output_tokens"), (1, "arrivals"), (2**70, "arrivals")]
    draws = [stream(*name).standard_normal(count) for name in names]
    for one, other in combinations(draws, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / np.sqrt(count)


@given(sizes=st.lists(st.integers(0, 9), max_size=12), cuts=st.lists(st.integers(1, 11), min_size=1, max_size=6))
def test_a_feed_gives_all_values_in_order_whatever_the_cuts(sizes, cuts):
    values = np.arange(sum(sizes))
    feed = Feed(np.split(values, np.cumsum(sizes))[:-1])
    pieces, at = [], 0
    while (piece := feed.take(cut := cuts[len(pieces) % len(cuts)])).size:
        assert piece.size == min(cut, values.size - at)
        at += piece.size
        pieces.append(piece)
    assert at == values.size
    assert np.array_equal(np.concatenate([np.empty(0, int), *pieces]), values)
    assert feed.take(3).size == 0


def test_a_feed_draws_a_block_only_when_it_is_needed():
    drawn = []

    def blocks():
        for block in range(3):
            drawn.append(block)
            yield np.full(4, block)

    feed = Feed(blocks())
    assert drawn == []
    feed.take(4)
    assert drawn == [0]
    feed.take(3)
    assert drawn == [0, 1]
