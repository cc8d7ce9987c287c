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
from collections.abc import Callable, Collection
from typing import Protocol

from infersim.policies.autoscaling.view import View
from infersim.policies.errors import PolicyError
from infersim.spec import policies as names


class Autoscaler(Protocol):
    """Anything with `desired(view)`."""

    def desired(self, view: View) -> float:
        """How many replicas the pool should have now."""
        ...


AUTOSCALERS: dict[str, type] = {}
"""All known autoscalers by name."""

SIGNALS = ("attainment", "future")
"""What costs time to keep, or is known to nobody in life, and is there for those that declare it."""


def autoscaling(policy: type | None = None, *, reads: Collection[str] = (), polls: bool = False) -> Callable | type:
    """Register a class as an autoscaler under its name in snake_case.

    `reads` declares "attainment" for `view.attainment`; "future" is the oracle's. One that `polls` looks only every
    `interval_s`, and not at once when a request finds no replica.
    """
    if policy is None:
        return lambda given: autoscaling(given, reads=reads, polls=polls)
    if not callable(getattr(policy, "desired", None)):
        raise PolicyError(f"autoscaler {policy.__name__} has no method desired(view), which answers how many replicas")
    if unknown := set(reads) - set(SIGNALS):
        found, known = ", ".join(sorted(unknown)), ", ".join(SIGNALS)
        raise PolicyError(f"autoscaler {policy.__name__} declares that it reads {found}; known: {known}")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", policy.__name__).lower()
    policy.reads, policy.polls = frozenset(reads), polls  # type: ignore[attr-defined]
    AUTOSCALERS[name] = policy
    names.AUTOSCALERS.add(name)
    return policy
