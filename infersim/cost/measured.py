"""Operators as somebody measured them: tables that take the place of the analytic time of an operator.

Inside its range a table is linear between its points; outside, the analytic model goes on from the edge of the table:
its time there, times what was measured at the edge over what the model says of the edge. Nothing is ever faster than
its roofline, whatever a table says (`roofline.py` sees to it).
Not here: where tables come from (`measured_csv.py`, `silicon.py`), whole steps (`step_table.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Analytic = Callable[..., Array]
"""The analytic model's time [s] of an operator, by the coordinates of a table."""

BY_BLOCK = "fp8 by block"
"""What products and experts in fp8 with a scale for each block are called, where they were measured apart."""


@dataclass(frozen=True)
class Grid:
    """Seconds over the products of some axes; NaN where nothing was measured."""

    axes: tuple[Array, ...]
    """Coordinates of each axis, rising."""
    seconds: Array
    """As many dimensions as axes [s]."""

    def at(self, analytic: Analytic, *where: Array | float) -> Array:
        """Seconds at these coordinates (arrays of one shape, or scalars) [s]; the analytic time where none is near."""
        points = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in where))
        inside = [np.clip(point, axis[0], axis[-1]) for point, axis in zip(points, self.axes, strict=True)]
        measured = self._linear(inside)
        asked = analytic(*points)
        outside = np.any([point != near for point, near in zip(points, inside, strict=True)], axis=0)
        if outside.any():
            edge = analytic(*inside)
            measured = np.where(
                outside, measured * np.divide(asked, edge, out=np.ones_like(asked), where=edge > 0), measured
            )
        return np.where(np.isnan(measured), asked, measured)

    def _linear(self, where: list[Array]) -> Array:
        """Linear between neighbours in every direction; missing neighbours leave their weight to the others."""
        low, weight = [], []
        for point, axis in zip(where, self.axes, strict=True):
            below = np.clip(np.searchsorted(axis, point, side="right") - 1, 0, max(0, len(axis) - 2))
            low.append(below)
            width = axis[np.minimum(below + 1, len(axis) - 1)] - axis[below]
            weight.append(np.divide(point - axis[below], width, out=np.zeros_like(point), where=width > 0))
        total, weights = np.zeros_like(where[0]), np.zeros_like(where[0])
        for corner in range(2 ** len(self.axes)):
            index, share = [], np.ones_like(where[0])
            for side, (below, part) in enumerate(zip(low, weight, strict=True)):
                upper = corner >> side & 1
                index.append(np.minimum(below + upper, len(self.axes[side]) - 1))
                share = share * (part if upper else 1.0 - part)
            found = self.seconds[tuple(index)]
            known = ~np.isnan(found)
            total += np.where(known, found, 0.0) * share
            weights += share * known
        return np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)


def grid(*columns: Array, seconds: Array) -> Grid:
    """A grid of points: a column for each axis, and the seconds; the least where a point was measured twice."""
    axes = tuple(np.unique(column) for column in columns)
    table = np.full([len(axis) for axis in axes], np.inf)
    np.minimum.at(
        table, tuple(np.searchsorted(axis, column) for axis, column in zip(axes, columns, strict=True)), seconds
    )
    return Grid(axes, np.where(np.isinf(table), np.nan, table))


@dataclass(frozen=True)
class Heads:
    """The shape of attention on one chip, by which its tables are known."""

    heads: int
    kv_heads: int
    head_dim: int
    kv_cache: str
    """Dtype of keys and values."""


@dataclass(frozen=True)
class ExpertShape:
    """A layer of experts and how it is spread, by which its tables are known."""

    hidden: int
    intermediate: int
    experts: int
    per_token: int
    tensor: int
    """Chips that share each expert."""
    expert: int
    """Groups of chips that hold different experts."""
    dtype: str


@dataclass(frozen=True)
class Measured:
    """Operators of one chip under one engine."""

    source: str
    """Whose measurements, said aloud in the notes of a run."""
    products: Mapping[str, Grid] = field(default_factory=dict)
    """By dtype: a product of (tokens x rows) by (rows x columns), over (tokens, columns, rows)."""
    decode: Mapping[Heads, Grid] = field(default_factory=dict)
    """Decode attention of one layer, over (sequences, context of each)."""
    prefill: Mapping[Heads, Grid] = field(default_factory=dict)
    """Prefill attention of one layer and one prompt, over (tokens,)."""
    experts: Mapping[ExpertShape, Grid] = field(default_factory=dict)
    """A layer's routed experts, over (tokens,)."""
    all_reduce: Mapping[int, Grid] = field(default_factory=dict)
    """By chips: over (bytes,)."""

    def attention(self, kind: str, shape: Heads) -> tuple[Grid, Heads] | None:
        """The table of the nearest shape with the same head size and dtype, and that shape; None without any."""
        tables: Mapping[Heads, Grid] = getattr(self, kind)
        near = [key for key in tables if (key.head_dim, key.kv_cache) == (shape.head_dim, shape.kv_cache)]
        if not near:
            return None

        def distance(key: Heads) -> tuple[float, float, int, int]:
            apart = abs(np.log(key.kv_heads / shape.kv_heads)), abs(np.log(key.heads / shape.heads))
            return float(apart[0]), float(apart[1]), key.heads, key.kv_heads

        best = min(near, key=distance)
        return tables[best], best


def affine(first: Array, seconds: Array) -> tuple[float, float]:
    """(constant, slope) of the line through points that misses each by the least share, neither below zero.

    `first`: coordinates; `seconds`: what was measured there.
    """
    weight = 1.0 / seconds
    matrix = np.stack([weight, first * weight], axis=1)
    from scipy.optimize import nnls

    (constant, slope), _ = nnls(matrix, np.ones_like(seconds))
    return float(constant), float(slope)
