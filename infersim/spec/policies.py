"""Names of the policies that a scenario may use: the shipped ones, and those that were registered in this process.

Not here: the policies (`infersim/policies/`), which write their names into these sets when they are registered. Plugins
of a scenario are not loaded when it is checked, so `simulate` has the last word where there are any.
"""

from infersim.spec.autoscalers import NAMES

ROUTERS = {
    "round_robin", "random", "least_outstanding", "power_of_two", "least_prompt_work", "least_kv_used",
    "fastest_weighted", "session_sticky", "adapter_affinity", "model_affinity", "prefix_aware", "cheapest_first", "nearest", "greenest",
    "follow_the_sun",
}  # fmt: skip
AUTOSCALERS = set(NAMES)
BATCHINGS = {"none", "static", "dynamic", "prefill_first", "chunked_prefill"}
QUEUE_ORDERS = {"fcfs", "priority", "shortest_job", "shortest_predicted", "earliest_deadline", "fair_share"}
SHIPPED_BATCHINGS, SHIPPED_ORDERS = frozenset(BATCHINGS), frozenset(QUEUE_ORDERS)
