"""From measured cases to a verdict: a claim holds, holds under conditions, or does not hold.

Each check is worked out on every replication. The first, the scenario as it stands, gives the number; the others (other
requests, profiles drawn from within their spreads) give the interval, lowest to highest, and say whether the answer is
sure: the same in all of them. A claim holds if all of its checks with a claimed value do, does not hold if none does,
and else holds if: under the conditions of those that do. Claims without such a check are questions, and answered.

Not here: the cases (`measure.py`), many claims (`settle.py`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infersim.studies.claims.claim import Check, Claim, Unit
from infersim.studies.claims.evidence import estimated
from infersim.studies.claims.measure import Measured
from infersim.studies.claims.reading import Reading

HOLDS, IF, NOT, ANSWER = "holds", "holds if", "does not hold", "answer"

Row = dict[str, Any]


def judge(claim: Claim, replications: Sequence[Mapping[str, Measured]]) -> tuple[Row, list[Row]]:
    """The claim's row and those of its checks. `replications`: for each, the measured cases by name; the first decides."""
    found = [_check(claim, check, replications) for check in claim.checks]
    asked = [row for row in found if row["claimed"]]
    held = [row for row in asked if row["holds"]]
    verdict = ANSWER if not asked else HOLDS if len(held) == len(asked) else IF if held else NOT
    unsure = [row["when"] or row["what"] for row in asked if not row["sure"]]
    seen = [entry for row in found if row["claimed"] or not asked for entry in row.pop("seen")]
    for row in found:
        row.pop("seen", None)
    whole = {
        "claim": claim.number,
        "title": claim.title,
        "text": claim.text,
        "source": claim.source,
        "simulated": claim.simulated,
        "verdict": verdict,
        "conditions": _listed(row["when"] for row in held) if verdict == IF else "",
        "unless": _listed(row["when"] for row in asked if not row["holds"]) if verdict == IF else "",
        "short": claim.short.format(*(shown(row["value"], row["unit"]) for row in found)),
        "hinges": claim.hinges,
        "estimated": "; ".join(estimated(seen, replications[0])),
        "unsure": _listed(unsure),
        "cannot": _listed(f"{name}: {one.why}" for name, one in replications[0].items() if one.why),
    }
    return whole, found


def _check(claim: Claim, check: Check, replications: Sequence[Mapping[str, Measured]]) -> Row:
    """One number, its interval, and whether it is as claimed."""
    readings = [Reading(measured) for measured in replications]
    values = [check.value(reading) for reading in readings]
    seen = readings[0].seen
    able = [value for value in values if math.isfinite(value)]
    holds = [check.claimed.holds(value) for value in values] if check.claimed else []
    return {
        "claim": claim.number,
        "when": check.when,
        "what": check.what,
        "value": values[0],
        "low": min(able, default=math.nan),
        "high": max(able, default=math.nan),
        "runs": len(values),
        "unit": check.unit,
        "claimed": claimed_text(check),
        "holds": holds[0] if holds else None,
        "sure": len(set(holds)) <= 1,
        "cases": "; ".join(sorted({case for case, _ in seen})),
        "seen": sorted(seen),
    }


def _listed(texts: Any) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def claimed_text(check: Check) -> str:
    """`at least 30x`; empty where nothing was claimed."""
    if check.claimed is None:
        return ""
    numbers = [shown(value, check.unit) for value in check.claimed.values]
    return numbers[0] if check.unit == "yes" else f"{check.claimed.words} {' to '.join(numbers)}"


def shown(value: float, unit: Unit) -> str:
    """A number of a check for people."""
    from infersim.results.units import digits, percent, seconds, usd

    if unit == "yes":
        return "yes" if value else "no"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    forms = {"usd": usd, "s": seconds, "share": percent}
    if unit in forms:
        return forms[unit](value)
    text = digits(value)
    return text if math.isnan(value) else f"{text}×" if unit == "x" else f"{text} {unit}"
