"""Totals against the same numbers worked out with NumPy from all rows at once."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from infersim.dataplane.records import ENDINGS, FINISHED, OUTCOME
from infersim.dataplane.totals import (
    COUNTED,
    LATENCIES,
    LATENCY_ERROR,
    SPANS,
    Totals,
    bin_middles,
    latency_bin,
)

LIMITS = np.array([0.5, 0.05, np.inf])
CLASSES = np.array([[0.5, 0.05, np.inf], [0.1, np.inf, 3.0]])
POOLS = 2


def random_rows(count: int, seed: int = 1, span_s: float = 500.0) -> np.ndarray:
    """Outcomes of two classes and pools, some rejected, some never routed, some of a single token."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, OUTCOME)
    rows["id"] = rng.permutation(count)
    rows["arrival_s"] = rng.random(count) * span_s
    rows["tenant"], rows["pool"] = rng.integers(0, 2, count), rng.integers(-1, POOLS, count)
    rows["status"] = rng.integers(0, len(ENDINGS), count) * (rng.random(count) < 0.3)
    rows["input_tokens"], rows["output_tokens"] = rng.integers(1, 5000, count), rng.integers(1, 50, count)
    rows["cached_tokens"] = rows["input_tokens"] // 3
    rows["preemptions"] = rng.integers(0, 3, count)
    for name in SPANS:
        rows[name] = rng.exponential(0.2, count)
    rows["first_token_s"] = rows["arrival_s"] + rng.lognormal(-1, 1, count)
    rows["finish_s"] = rows["first_token_s"] + (rows["output_tokens"] - 1) * rng.lognormal(-3, 0.5, count)
    return rows


def latencies(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The four latencies of finished requests, NaN where there is none."""
    done = rows[rows["status"] == FINISHED]
    gaps = np.where(done["output_tokens"] > 1, done["output_tokens"] - 1.0, np.nan)
    e2e = done["finish_s"] - done["arrival_s"]
    values = (done["first_token_s"] - done["arrival_s"], (done["finish_s"] - done["first_token_s"]) / gaps, e2e,
              e2e / np.maximum(done["output_tokens"], 1))  # fmt: skip
    return dict(zip(LATENCIES, values, strict=True))


def added(*batches: np.ndarray) -> Totals:
    totals = Totals(POOLS, LIMITS, CLASSES)
    for rows in batches:
        totals.add(rows)
    return totals


@pytest.mark.parametrize(("pool", "tenant"), [(None, None), (0, None), (-1, 1), (1, 0), (None, 1)])
def test_they_are_the_sums_of_the_rows(pool: int | None, tenant: int | None) -> None:
    rows = random_rows(5000)
    sums = added(rows[:1234], rows[1234:]).of(pool=pool, tenant=tenant)
    mine = np.ones(len(rows), bool)
    mine &= True if pool is None else rows["pool"] == pool
    mine &= True if tenant is None else rows["tenant"] == tenant
    own, done = rows[mine], rows[mine & (rows["status"] == FINISHED)]
    assert sums.endings.tolist() == np.bincount(own["status"], minlength=len(ENDINGS)).tolist()
    for name in COUNTED:
        assert (sums.of_all(name), sums.of_finished(name)) == (own[name].sum(), done[name].sum())
    for name in SPANS:
        assert sums.span_s(name) == pytest.approx(done[name].sum(), rel=1e-12)
    assert sums.prompts == (own["input_tokens"] - own["cached_tokens"]).sum()
    assert sums.makespan_s == own["finish_s"].max() - own["arrival_s"].min()
    found = latencies(own)
    for k, name in enumerate(LATENCIES):
        assert sums.known[k] == (~np.isnan(found[name])).sum()
        assert sums.latency_s[k] == pytest.approx(np.nansum(found[name]), rel=1e-12)
    within = [~(found[name] > limit) for name, limit in zip(LATENCIES, LIMITS, strict=False)]
    assert sums.within.tolist() == [part.sum() for part in within]
    own_limits = CLASSES[done["tenant"]]
    met = np.all([~(found[name] > own_limits[:, k]) for k, name in enumerate(LATENCIES[:3])], axis=0)
    assert sums.met == met.sum()


def test_order_statistics_are_within_the_stated_error() -> None:
    rows = random_rows(20_000)
    sums, found = added(rows).of(), latencies(rows)
    for name in LATENCIES:
        exact = np.sort(found[name][~np.isnan(found[name])])
        ranks = np.arange(len(exact))
        np.testing.assert_allclose(sums.order_statistics(name, ranks), exact, rtol=LATENCY_ERROR)


@given(some.floats(1e-6, 8e6))
def test_every_latency_is_close_to_the_middle_of_its_bin(seconds: float) -> None:
    assert bin_middles()[latency_bin(seconds)] == pytest.approx(seconds, rel=LATENCY_ERROR)


@pytest.mark.parametrize(("seconds", "place"), [(0.0, 0), (1e-9, 0), (1e12, -1), (np.inf, -1)])
def test_latencies_beyond_the_bins(seconds: float, place: int) -> None:
    assert latency_bin(seconds) == range(len(bin_middles()))[place]


def test_batches_and_merging_change_nothing_but_the_last_bits() -> None:
    rows = random_rows(4000)
    whole, parts = added(rows), added(rows[:7], rows[7:2000])
    parts.merge(added(rows[2000:]))
    one, two = whole.of(), parts.of()
    for field in fields(one):
        if field.name in ("seconds", "latency_s"):
            np.testing.assert_allclose(getattr(one, field.name), getattr(two, field.name), rtol=1e-12)
        else:
            assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    assert whole.windows.tolist() == parts.windows.tolist()


@pytest.mark.parametrize(("span_s", "width"), [(900.0, 1), (3e6, 60), (1.3e8, 3600)])
def test_windows_count_arrivals_and_grow_coarser_in_long_runs(span_s: float, width: int) -> None:
    rows = random_rows(3000, span_s=span_s)
    rows["arrival_s"] = np.sort(rows["arrival_s"])
    totals = added(*np.array_split(rows, 7))
    assert totals.window_s == width
    expected = np.bincount((rows["arrival_s"] // width).astype(int))
    assert totals.windows[:, 0].tolist() == expected.tolist()
    assert totals.windows[:, 1].sum() == totals.of().met
    short = added(random_rows(100, span_s=50.0))
    short.merge(totals)
    both = np.concatenate([rows["arrival_s"], random_rows(100, span_s=50.0)["arrival_s"]])
    assert short.windows[:, 0].tolist() == np.bincount((both // width).astype(int)).tolist()
    totals.merge(added(random_rows(100, span_s=50.0)))
    assert totals.windows.tolist() == short.windows.tolist()
