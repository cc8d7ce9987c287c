"""Why the loop stops.

Not here: what the fleet does about it (`fleet.py`).
"""

(
    ON_TIME, DRAINED, HELD_EDGE, LEAVING_EDGE, ALL_FINISHED, STARVED, SOURCE_EMPTY, SLOTS_FULL, OUTCOMES_FULL,
    BAD_ANSWER, VERB_DONE, GO_ON,
) = range(12)  # fmt: skip
"""Those after ALL_FINISHED are the fleet's own business."""
