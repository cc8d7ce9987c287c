"""Names of the policies that a scenario may use: the shipped ones, and those that were registered in this process.

Not here: the policies (`infersim/policies/`), which write their names into these sets when they are registered. Plugins
of a scenario are not loaded when it is checked, so `simulate` has the last word where there are any.
"""

ROUTERS = {"round_robin", "least_outstanding"}
AUTOSCALERS = {"target_concurrency", "queue_depth"}
