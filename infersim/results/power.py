"""Joules: what chips drew while they worked and while they did not, and the building's share; and how well they worked.

    total = (dynamic energy of FLOPs and bytes + idle power x billed seconds) x PUE

Dynamic energy comes from `cost/energy.py`; idle power is drawn as long as a replica is billed, cold starts included.
MFU and MBU are achieved over peak (dense FLOP/s in the compute dtype, memory bandwidth) *while busy*; multiply by the
busy share for those of the time that replicas were up.

Not here: dollars (`money.py`). Read `summary.py` next.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.cost.energy import idle_joules, usage
from infersim.dataplane.totals import Sums
from infersim.results.expenses import priced
from infersim.results.money import lease_times, per
from infersim.results.record import RunRecord

CAUSES = ("compute", "memory", "network", "launch", "slowed", "switching")
"""What bounds a busy second: arithmetic, memory bandwidth, links between chips, launch floors and the host; or that the
replica was slower than its chips are."""


def pool_joules(run: RunRecord, index: int) -> tuple[float, float]:
    """Dynamic and idle energy of one pool's chips, without the building [J]."""
    pool = run.pools[index]
    billed_s = lease_times(run).billed[run.leases["pool"] == index].sum()
    return usage(pool.tables, pool.tally).dynamic_j - pool.saved_j, idle_joules(pool.tables, float(billed_s))


def lease_joules(run: RunRecord) -> NDArray[np.float64]:
    """Energy of each lease with the building's share [J], in the order of `RunRecord.leases`.

    The loop counts shapes by pool, so the dynamic energy of a pool is shared out in proportion to busy seconds.
    """
    times = lease_times(run)
    joules = np.zeros(len(run.leases))
    for index, pool in enumerate(run.pools):
        own = run.leases["pool"] == index
        dynamic, _ = pool_joules(run, index)
        busy = times.busy[own]
        joules[own] = pool.tables.idle_w * times.billed[own]
        if busy.sum() > 0:
            joules[own] += dynamic * busy / busy.sum()
    return joules * run.scenario.facility.pue


def energy_report(run: RunRecord, pools: Iterable[int], sums: Sums) -> dict[str, float]:
    """Energy of some pools; `sums` is of the requests that they served.

    total_j             dynamic_j + idle_j + building_j
    dynamic_j, idle_j   chips above idle power, and at idle power over the billed seconds
    building_j          (PUE - 1) x the chips' energy: cooling, conversion
    total_kwh           total_j / 3.6e6
    mean_w              total_j / end of the run
    j_per_output_token  total_j / tokens generated for finished requests
    wh_per_request      total_j / 3600 / finished requests
    """
    parts = [pool_joules(run, index) for index in pools]
    dynamic, idle = sum(part[0] for part in parts), sum(part[1] for part in parts)
    pue = run.scenario.facility.pue
    total = (dynamic + idle) * pue
    return {
        "total_j": total,
        "dynamic_j": dynamic,
        "idle_j": idle,
        "building_j": (dynamic + idle) * (pue - 1.0),
        "total_kwh": total / 3.6e6,
        "mean_w": per(total, run.end_s),
        "j_per_output_token": per(total, sums.of_finished("output_tokens")),
        "wh_per_request": per(total / 3600.0, sums.finished),
    }


HOURS_PER_YEAR = 8766.0


def carbon_report(run: RunRecord, total_j: float, sums: Sums) -> dict[str, float] | None:
    """Carbon of the electricity and of making the chips; None where no region, grid or figure says how clean it is.

    g_per_kwh                    operational_kg / total_kwh
    operational_kg               energy x intensity of each pool's grid, then
    embodied_kg                  that of the chips x billed hours / their lifetime; NaN when a chip's profile has no figure
    g_per_million_output_tokens  operational, likewise g_per_request
    """
    parts = [_grams(run, index) for index in range(len(run.pools))]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not parts:
        return None
    emitted = sum(known)
    return {
        "g_per_kwh": per(emitted, total_j / 3.6e6),
        "operational_kg": emitted / 1e3,
        "embodied_kg": sum(embodied_kg(run, index) for index in range(len(run.pools))),
        "g_per_million_output_tokens": per(emitted * 1e6, sums.of_finished("output_tokens")),
        "g_per_request": per(emitted, sums.finished),
    }


def embodied_kg(run: RunRecord, index: int) -> float:
    """Share of the carbon of making a pool's chips that falls on the hours that they were billed [kgCO2eq]."""
    pool = run.pools[index]
    billed_h = float(lease_times(run).billed[run.leases["pool"] == index].sum()) / 3600.0
    made = math.nan if pool.embodied_kg is None else pool.embodied_kg
    return made * pool.chips * billed_h / (run.scenario.facility.chip_lifetime_years * HOURS_PER_YEAR)


def water_report(run: RunRecord, energy: dict[str, float], sums: Sums) -> dict[str, float] | None:
    """Water for cooling on site: the chips' energy x the facility's water usage; None when it states none.

    total_l, ml_per_request, l_per_million_output_tokens
    """
    usage_l_per_kwh = run.scenario.facility.water_l_per_kwh
    if usage_l_per_kwh is None:
        return None
    litres = (energy["dynamic_j"] + energy["idle_j"]) / 3.6e6 * usage_l_per_kwh
    return {
        "total_l": litres,
        "ml_per_request": per(litres * 1e3, sums.finished),
        "l_per_million_output_tokens": per(litres * 1e6, sums.of_finished("output_tokens")),
    }


def _grams(run: RunRecord, index: int) -> float | None:
    """Carbon of one pool's electricity [gCO2eq], by its region's intensity over time, or by the facility's figure."""
    carbon, grid = run.pools[index].carbon, run.scenario.facility.grid_g_per_kwh
    if carbon is not None:
        return float(priced(run, index, carbon).sum())
    return None if grid is None else sum(pool_joules(run, index)) * run.scenario.facility.pue / 3.6e6 * grid


def utilisation_report(run: RunRecord, index: int) -> dict[str, Any]:
    """How one pool's replicas spent their time.

    busy                share of the time that replicas were up (ready or draining) in which a step ran
    mfu, mbu            achieved / peak FLOP/s and memory bandwidth, while busy
    time_share          of the busy seconds, by what bounded them: CAUSES
    steps               that ran
    mean_sequences      sequences in a step
    """
    pool, times, own = run.pools[index], lease_times(run), run.leases["pool"] == index
    used, tally = usage(pool.tables, pool.tally), pool.tally
    steps = float(tally.steps_by_sequences.sum())
    causes = {cause: per(getattr(used, f"{cause}_s"), used.busy_s) for cause in CAUSES}
    return {
        "busy": per(float(times.busy[own].sum()), float(times.up[own].sum())),
        "mfu": per(used.flops, pool.tables.peak_flops * used.busy_s),
        "mbu": per(used.memory_bytes, pool.tables.peak_bytes_s * used.busy_s),
        "time_share": causes,
        "steps": int(steps),
        "mean_sequences": per(float(np.arange(len(tally.steps_by_sequences)) @ tally.steps_by_sequences), steps),
    }
