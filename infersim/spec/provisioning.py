"""How long it typically takes to get a machine, by tier and provider, around the time that a chip's profile gives.

Not here: drawing it (`infersim/controlplane/phases.py`).
"""

from infersim.spec.life import ColdStart

TIERS = {
    "on_demand": (1.0, 3.0), "reserved": (1.0, 2.0), "neocloud": (1.5, 5.0), "owned": (1.0, 2.0), "spot": (1.5, 8.0),
}  # fmt: skip
"""Median over the profile's provision_s, and 99th percentile over that median. Estimated: Mao and Humphrey (IEEE CLOUD
2012) found that EC2 instances start within 10 to 20 % of their mean most of the time, and that spot requests take longer
and vary more; nobody has published such figures for machines with accelerators."""

PROVIDERS = {"azure": 3.7, "rackspace": 0.46}
"""Mean start-up time over that of AWS: 356.6 s and 44.2 s over 96.9 s (Mao and Humphrey, A Performance Study on the VM
Startup Time in the Cloud, IEEE CLOUD 2012); other providers count as AWS."""


def finding_s(spec: ColdStart, profile_s: float, tier: str, provider: str | None) -> tuple[float, float | None]:
    """Median and 99th percentile of the time until a machine is found [s]; None where it is always the same."""
    if spec.provision == "typical":
        return typical(profile_s, tier, provider)
    return (profile_s, None) if spec.provision_s is None else (spec.provision_s, spec.provision_p99_s)


def typical(profile_s: float, tier: str, provider: str | None) -> tuple[float, float]:
    """Median and 99th percentile of the time until a machine is found [s]."""
    times, tail = TIERS[tier]
    median_s = profile_s * times * PROVIDERS.get((provider or "").lower(), 1.0)
    return median_s, median_s * tail
