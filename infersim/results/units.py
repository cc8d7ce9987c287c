"""Numbers for people: three or four significant digits and a unit.

Not here: numbers for machines, which `summary.json` keeps in full. Read `table.py` next.
"""

import math

MISSING = "-"
"""Shown where there is nothing to say."""


def digits(value: float | None, significant: int = 3) -> str:
    """A plain number: `1,234`, `12.3`, `0.00123`; whole numbers from 1000 up keep all their digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = _rounded(value, significant)
    decimals = significant - 1 - _magnitude(rounded)
    return f"{value:,.0f}" if decimals <= 0 else f"{rounded:,.{decimals}f}"


def _magnitude(value: float) -> int:
    """Power of ten of the first digit; that of 0 makes it print as a bare 0."""
    return math.floor(math.log10(abs(value))) if value else 99


def _rounded(value: float, significant: int = 3) -> float:
    """The value to this many digits."""
    return round(value, significant - 1 - _magnitude(value))


def compact(value: float) -> str:
    """A number for an axis: `120k`, `1.5M`, `2G`."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def seconds(value: float | None) -> str:
    """A duration: `412 us`, `23.4 ms`, `1.23 s`, `1,234 s`."""
    return _scaled(value, ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s")))


def clock(value: float | None) -> str:
    """A long duration: `45 s`, `12 min`, `3.5 h`, `2.1 days`."""
    return _scaled(
        value, ((120.0, 1.0, "s"), (7200.0, 1 / 60, "min"), (172800.0, 1 / 3600, "h"), (math.inf, 1 / 86400, "days"))
    )


def moment(time_s: float) -> str:
    """A time of the run: `0:12:30`, `27:00:00`."""
    whole = round(time_s)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def usd(value: float | None) -> str:
    """Dollars: `$0.00123`, `$12.34`, `$1,234.56`; cents above a dollar, three digits below."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"${value:,.2f}" if abs(_rounded(value)) >= 1 or value == 0 else f"${digits(value)}"


def energy(joules: float | None) -> str:
    """Electricity: `12.3 Wh`, `4.56 kWh`, `7.89 MWh`."""
    hours = None if joules is None else joules / 3600.0
    return _scaled(hours, ((1e3, 1.0, "Wh"), (1e6, 1e-3, "kWh"), (math.inf, 1e-6, "MWh")))


def watts(value: float | None) -> str:
    """Power: `700 W`, `5.60 kW`, `1.23 MW`."""
    return _scaled(value, ((1e3, 1.0, "W"), (1e6, 1e-3, "kW"), (math.inf, 1e-6, "MW")))


def percent(share: float | None) -> str:
    """A share as `99.2 %`."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{digits(100.0 * share)} %"


def _scaled(value: float | None, scales: tuple[tuple[float, float, str], ...]) -> str:
    """The value in the unit of the first scale (limit, factor, unit) whose limit it stays below."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return f"0 {next(unit for _, factor, unit in scales if factor == 1.0)}"
    factor, unit = next((factor, unit) for limit, factor, unit in scales if abs(_rounded(value)) < limit)
    return f"{digits(value * factor)} {unit}"
