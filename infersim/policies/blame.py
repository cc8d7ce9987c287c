"""What is said of a policy that failed while a run was going on: who, when, about whom, and what would be right.

Not here: what is said before a run (`refusal.py`), how a fault is noticed (`infersim/dataplane/faults.py`).
"""

from infersim.dataplane.faults import PolicyFault
from infersim.policies.refusal import BATCHING, ORDER, ROUTER
from infersim.spec.scenario import Scenario

KINDS = {kind.noun: kind for kind in (ROUTER, ORDER, BATCHING)}


def what_failed(fault: PolicyFault, scenario: Scenario) -> str:
    """One sentence about a fault."""
    kind = KINDS[fault.asked]
    if fault.pool is None:
        name = scenario.router.policy
    else:
        pool = scenario.pools[fault.pool]
        name = pool.queue.order if kind is ORDER else str(pool.batching.policy)
    subject, when = f"{kind.noun} {name!r}", f"at {fault.time_s:.6g} s"
    about = f"request {fault.request} {when}"
    if fault.replica is not None:
        about = f"replica {fault.replica} {when} (request {fault.request} is there)"
    if (cause := fault.__cause__) is not None:
        what = (
            f"raised {type(cause).__name__}: {cause}, asked about {about}"
            if str(cause)
            else (f"raised {type(cause).__name__}, asked about {about}")
        )
        return f"{subject} {what}; it must return {kind.returns}"
    if kind is ROUTER:
        return f"{subject} sent {about} to something that is not a ready replica; return one of `routable`"
    return f"{subject} answered {fault.answer}, asked about {about}; it must return {kind.returns}"
