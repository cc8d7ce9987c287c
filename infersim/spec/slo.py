"""What a good answer is.

Not here: measuring it (`infersim/results/metrics.py`).
"""

from infersim.spec.base import Positive, Spec


class Slo(Spec):
    """What a good answer is; a request that meets every given limit counts as goodput."""

    ttft_p99_s: Positive | None = None
    """Time to first token [s]: limit for a request, and for the 99th percentile of the run."""
    tpot_p99_s: Positive | None = None
    """Time for each output token after the first [s]: likewise."""
    e2e_p99_s: Positive | None = None
    """Whole latency [s]: likewise."""
