"""What an autoscaler is, and all that are known. Write your own with `@autoscaling`.

    @autoscaling
    class OneForEachHundred:
        \"\"\"A replica for every 100 requests.\"\"\"

        def __init__(self, requests: float = 100) -> None:
            self.requests = requests

        def desired(self, view) -> float:
            return view.in_flight / self.requests

`desired(view)` is asked every `interval_s`; its answer is rounded up and clamped to the pool's limits. The parameters of
`__init__` are given in the scenario beside the policy's name. Cool-downs are the control plane's
(`controlplane/scaler.py`).

Not here: what may be asked of the view (`view.py`), the shipped ones (the files beside this one).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from infersim.policies.autoscaling.view import View
from infersim.policies.errors import PolicyError
from infersim.spec import policies as names


class Autoscaler(Protocol):
    """Anything with `desired(view)`."""

    def desired(self, view: View) -> float:
        """How many replicas the pool should have now."""
        ...


@dataclass(frozen=True)
class Registered:
    """An autoscaler's class and what it has declared."""

    name: str
    make: type
    """Called with the parameters of the scenario."""
    reads: frozenset[str]
    polls: bool
    from_start: bool

    @property
    def summary(self) -> str:
        """What it does in one line."""
        return (self.make.__doc__ or "").strip().split("\n")[0]


AUTOSCALERS: dict[str, Registered] = {}
"""All known autoscalers by name."""

SIGNALS = ("attainment", "future")
"""What costs time to keep, or is known to nobody in life, and is there for those that declare it."""


def autoscaling(
    policy: type | None = None, *, reads: Collection[str] = (), polls: bool = False, from_start: bool = False
) -> Any:
    """Register a class as an autoscaler under its name in snake_case.

    `reads` declares "attainment" for `view.attainment`; "future" is the oracle's. One that `polls` looks only every
    `interval_s`, and not at once when a request finds no replica; one `from_start` is asked at time 0 too.
    """
    if policy is None:
        return lambda given: autoscaling(given, reads=reads, polls=polls, from_start=from_start)
    if not callable(getattr(policy, "desired", None)):
        raise PolicyError(f"autoscaler {policy.__name__} has no method desired(view), which answers how many replicas")
    if unknown := set(reads) - set(SIGNALS):
        found, known = ", ".join(sorted(unknown)), ", ".join(SIGNALS)
        raise PolicyError(f"autoscaler {policy.__name__} declares that it reads {found}; known: {known}")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", policy.__name__).lower()
    AUTOSCALERS[name] = Registered(name, policy, frozenset(reads), polls, from_start)
    names.AUTOSCALERS.add(name)
    return policy
