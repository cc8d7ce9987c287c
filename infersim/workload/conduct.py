"""What the data plane must know of clients: patience, retries and rate limits of each class, and the service's own limits.

Not here: what they send (`generate.py`), and the rules' meaning (`infersim/dataplane/rules.py`).
"""

import math
from collections.abc import Sequence
from typing import Any

from infersim.dataplane.rules import ClientRules, ServiceRules
from infersim.spec.clients import RateLimit
from infersim.spec.scenario import Scenario
from infersim.spec.workload import Tenant, Workload

MINUTE_S = 60.0


def service_rules(scenario: Scenario, cell: tuple[int, int] = (0, 1)) -> ServiceRules:
    """The rules of a scenario, or of one of its cells, which has its share of what all clients together may do."""
    workload, admission = scenario.workload, scenario.admission
    number, cells = cell
    classes: Sequence[Tenant | Workload] = workload.classes or [workload]
    clients = tuple(_client_rules(classes[lane.tenant], workload, cells, lane.step == 0) for lane in workload.lanes)
    return ServiceRules(
        clients,
        max_wait_s=math.inf if admission.max_wait_s is None else admission.max_wait_s,
        max_queued=None if admission.max_queued is None else (admission.max_queued + cells - 1 - number) // cells,
        last_arrival_s=math.inf if scenario.horizon_s is None else scenario.horizon_s,
    )


def _client_rules(tenant: Tenant | Workload, workload: Workload, cells: int, limited: bool) -> ClientRules:
    """The rules of one class, with or without its rate limit; the workload's where it has none of its own."""
    patience = tenant.patience or workload.patience
    retries = tenant.retries or workload.retries
    limit = (tenant.rate_limit or workload.rate_limit) if limited else None
    given: dict[str, Any] = {} if patience is None else patience.model_dump(exclude_none=True)
    given |= {} if retries is None else retries.model_dump()
    return ClientRules(**given | ({} if limit is None else _bucket(limit, cells)))


def _bucket(limit: RateLimit, cells: int) -> dict[str, float]:
    """A rate limit's bucket, in equal parts."""
    burst = limit.tokens_per_s * MINUTE_S if limit.burst_tokens is None else limit.burst_tokens
    return {"tokens_per_s": limit.tokens_per_s / cells, "burst_tokens": burst / cells}
