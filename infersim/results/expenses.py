"""Dollars and grams beside the leases: electricity of owned chips, data sent between regions, carbon by the hour.

    electricity  sum over the timeline of energy x PUE x price then, for the share of billed time that is metered
    egress       sum over requests of bytes that leave a region x its price

Not here: leases (`money.py`), joules (`power.py`).
"""

import numpy as np
from numpy.typing import NDArray

from infersim.cost.series import StepFunction
from infersim.results.money import lease_times
from infersim.results.record import RunRecord

BYTES_PER_PROMPT_TOKEN = 4.0
"""Text of a token [B], sent on from the region that a request comes from."""
BYTES_PER_OUTPUT_TOKEN = 250.0
"""A streamed token of OpenAI's API [B]: a server-sent event with a JSON object around some four characters; estimated."""


def priced(run: RunRecord, index: int, price: StepFunction) -> NDArray[np.float64]:
    """Energy of one pool with the building's share, at a price for each kWh that changes: by interval of the timeline."""
    rows = run.samples[run.samples["pool"] == index]
    times, joules = rows["time_s"], rows["joules"] * run.scenario.facility.pue
    spans = np.diff(times)
    means = np.divide(np.diff(price.integral(times)), spans, out=np.zeros(len(spans)), where=spans > 0)
    return np.diff(joules) / 3.6e6 * means


def electricity_usd(run: RunRecord, index: int) -> NDArray[np.float64]:
    """What one pool pays for electricity by the kWh [USD], by source: for owned machines, by their share of the time."""
    pool, own = run.pools[index], run.leases["pool"] == index
    billed = np.bincount(run.leases["source"][own], lease_times(run).billed[own], len(pool.tariffs))
    if pool.electricity is None or not billed.sum():
        return np.zeros(len(pool.tariffs))
    metered = np.array([tariff.metered for tariff in pool.tariffs])
    return float(priced(run, index, pool.electricity).sum()) * metered * billed / billed.sum()


def egress_usd(run: RunRecord, index: int) -> float:
    """What the data between one pool and the requests of other regions costs [USD]."""
    usd = 0.0
    for tenant, (prompt, answer) in enumerate(run.pools[index].egress_usd_per_gb):
        if prompt or answer:
            sums = run.calls.of(pool=index, tenant=tenant)
            sent = BYTES_PER_PROMPT_TOKEN * sums.of_all("input_tokens") * prompt
            usd += (sent + BYTES_PER_OUTPUT_TOKEN * sums.of_all("output_tokens") * answer) / 1e9
    return usd


def expenses(run: RunRecord, pools: list[int]) -> dict[str, float]:
    """`electricity_usd` of pools with owned machines, `egress_usd` of those in regions; neither elsewhere."""
    metered = [index for index in pools if any(tariff.metered for tariff in run.pools[index].tariffs)]
    placed = [index for index in pools if run.pools[index].region is not None]
    paid = {"electricity_usd": float(sum(electricity_usd(run, index).sum() for index in metered))} if metered else {}
    return paid | ({"egress_usd": sum(egress_usd(run, index) for index in placed)} if placed else {})
