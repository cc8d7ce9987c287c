"""What routers know of a pool's surroundings, brought up to date whenever it changes: price, carbon, the sun.

Not here: the routers (`infersim/policies/routing.py`).
"""

import math

import simpy

from infersim.controlplane.market import Story
from infersim.controlplane.pool import Pool
from infersim.cost.series import StepFunction

SUN_S = 900.0
"""How often the height of the sun is looked at [s]."""


def follow(env: simpy.Environment, pool: Pool, name: str, series: StepFunction, factor: float = 1.0) -> Story:
    """Tell routers the value of a series, now and whenever it changes."""
    while True:
        pool.env.fleet.signal(pool.number, **{name: float(series.at(env.now)) * factor})
        change_s = series.next_change(env.now)
        if math.isinf(change_s):
            return
        yield env.timeout(change_s - env.now)


def follow_sun(env: simpy.Environment, pool: Pool, noon_s: float) -> Story:
    """Tell routers how high the sun stands: the cosine of its hour angle; it is noon at `noon_s`."""
    while True:
        pool.env.fleet.signal(pool.number, sun=math.cos(2 * math.pi * (env.now - noon_s) / 86400.0))
        yield env.timeout(SUN_S)
