"""Reading the load of a pool for its autoscaler: what a metrics pipeline would scrape, and how old it is then.

Not here: what an autoscaler makes of it (`infersim/policies/autoscaling/view.py`).
"""

from collections.abc import Generator, Sequence

import numpy as np
import simpy
from numpy.typing import NDArray

from infersim.controlplane.pool import Pool
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import FINISHED
from infersim.policies.autoscaling import Facts, Reading, View
from infersim.policies.autoscaling.view import MEMORY_S
from infersim.spec.slo import Slo


class Judge:
    """Which of the requests that ended were within the limits of their class."""

    def __init__(self, fleet: Fleet, slos: Sequence[Slo], pools: int, whole: Sequence[bool]) -> None:
        """`slos` by class of requests, and whether their answers come whole, so that the first token is the last."""
        self._fleet, self._seen, self._whole = fleet, 0, np.array(whole)
        self._limits = {
            name: np.array([np.inf if (limit := getattr(slo, f"{name}_p99_s")) is None else limit for slo in slos])
            for name in ("ttft", "tpot", "e2e")
        }
        self._counts = np.zeros((pools, 4), np.int64)
        fleet.taps.append(self._handed_on)

    def counts(self, pool: int) -> tuple[int, int, int, int]:
        """Requests that ended in the pool so far: all, and those within TTFT, TPOT, and every limit."""
        rows = self._fleet.kept()
        self._count(rows[self._seen :])
        self._seen = len(rows)
        judged, ttft, tpot, every = self._counts[pool].tolist()
        return judged, ttft, tpot, every

    def _handed_on(self, rows: NDArray) -> None:
        """The last look at these rows; the next ones begin anew."""
        self._count(rows[self._seen :])
        self._seen = 0

    def _count(self, rows: NDArray) -> None:
        rows = rows[rows["pool"] >= 0]
        if len(rows) == 0:
            return
        finished, tenant = rows["status"] == FINISHED, rows["tenant"]
        first_s = np.where(self._whole[tenant], rows["finish_s"], rows["first_token_s"])
        decoding, gaps = rows["finish_s"] - first_s, rows["output_tokens"] - 1
        ttft = finished & ~(first_s - rows["arrival_s"] > self._limits["ttft"][tenant])
        tpot = finished & ~(decoding > self._limits["tpot"][tenant] * np.maximum(gaps, 1))
        e2e = finished & ~(rows["finish_s"] - rows["arrival_s"] > self._limits["e2e"][tenant])
        for column, met in enumerate((np.ones(len(rows), np.bool_), ttft, tpot, ttft & tpot & e2e)):
            self._counts[:, column] += np.bincount(rows["pool"][met], minlength=len(self._counts))


class Meter:
    """Readings of one pool over the last hour."""

    def __init__(self, pool: Pool, facts: Facts, lag_s: float, judge: Judge | None) -> None:
        """Nothing read yet; `lag_s` is how old a reading is when it is seen [s]."""
        self._pool, self._facts, self._lag_s, self._judge = pool, facts._replace(judged=judge is not None), lag_s, judge
        self._readings: list[Reading] = []

    def scrape(self, interval_s: float) -> Generator[simpy.Event, object, None]:
        """Read so often, at such times that readings are `lag_s` old at every multiple of the interval."""
        self.read()
        yield self._pool.env.timeout(-self._lag_s % interval_s)
        while True:
            self.read()
            yield self._pool.env.timeout(interval_s)

    def read(self) -> None:
        """Read the pool now."""
        pool, fleet = self._pool, self._pool.env.fleet
        _, _, waiting, running, blocks, output, busy_s, prompt, routed, ended, up_s = fleet.glance(pool.number)
        ready, held = len(pool.serving), fleet.held_for(pool.number)
        live_blocks = (ready + sum(replica.index is not None for replica in pool.leaving)) * pool.tables.memory.blocks
        if pool.tables.models:
            live_blocks = fleet.observe(pool.number)[0].kv_blocks
        judged = self._judge.counts(pool.number) if self._judge else (0, 0, 0, 0)
        reading = Reading(
            pool.env.now, ready, int(waiting), int(running), held, blocks / live_blocks if live_blocks else 0.0,
            int(routed) + held, int(ended), prompt, output, busy_s, up_s, *judged,
        )  # fmt: skip
        readings = self._readings
        if readings and readings[-1].time_s == reading.time_s:
            readings.pop()
        readings.append(reading)
        if len(readings) > 64 and readings[len(readings) // 2].time_s < reading.time_s - MEMORY_S:
            del readings[: len(readings) // 2]

    def view(self) -> View:
        """What the autoscaler may know now: the replicas as they are, the load as it was `lag_s` ago."""
        pool = self._pool
        if self._lag_s == 0:
            self.read()
        view = View(pool.env.now, len(pool.serving), len(pool.starting), len(pool.leaving), self._readings, self._facts)
        return view if self._lag_s == 0 else view.at(pool.env.now - self._lag_s)
