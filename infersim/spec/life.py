"""A replica's life as a pool's owner sets it: how a machine is found and made ready, how it leaves, how it is billed.

Not here: who sells the machine at what price (`purchase.py`), and living it (`infersim/controlplane/pool.py`).
"""

from typing import Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, NonNegative, Positive, Spec, wrong_at


class Image(Spec):
    """The container image, where a machine does not hold it already."""

    size_gb: Positive
    """Bytes to fetch and unpack / 1e9 [GB]; images of vLLM and SGLang are 8 to 12 GB compressed."""
    gb_s: Positive = 0.25
    """Rate of fetching and unpacking [GB/s]; a registry's layers unpack at 0.1 to 0.5 GB/s on one host."""


class Weights(Spec):
    """Where weights come from. Loading takes their size over the slowest of storage, network and PCIe."""

    source: Literal["profile", "object_store", "disk", "nvme", "page_cache"] = "profile"
    """profile: all three together, as the chip's load_gb_s; object_store: over the network, at 7 GB/s a host when tuned;
    disk: a network volume, 1.1 GB/s streamed; nvme: local drives, 12 GB/s; page_cache: already in host memory."""
    storage_gb_s: Positive | None = None
    """Your own rate of the storage for one machine [GB/s]; wins over the source's."""
    network_gb_s: Positive | None = None
    """Rate of the network into one machine [GB/s]; that of the chips' scale-out links when absent."""
    peer: bool = False
    """Whether a replica loads from the chips of a ready one that sends to nobody else, where there is one."""

    @model_validator(mode="after")
    def _used(self) -> "Weights":
        for key in ("storage_gb_s", "network_gb_s"):
            if (
                getattr(self, key) is not None
                and self.source == "profile"
                and not (key == "network_gb_s" and self.peer)
            ):
                raise wrong_at((key,), "is not used with source profile; say where the weights lie (object_store ...)")
        if self.network_gb_s is not None and self.source in ("nvme", "page_cache") and not self.peer:
            raise wrong_at(("network_gb_s",), f"is not used with source {self.source}; remove it")
        if self.storage_gb_s is not None and self.source == "page_cache":
            raise wrong_at(("storage_gb_s",), "is not used with source page_cache, which reads host memory; remove it")
        return self


class Warm(Spec):
    """Machines that are kept, and paid, so that a replica need not begin at the beginning."""

    machines: Count
    """How many; one that is taken is found anew, one that a drained replica leaves goes back."""
    state: Literal["booted", "cached", "asleep"] = "booted"
    """booted: the image is there; cached: the weights are in host memory too; asleep: the engine has been initialised
    and waits with its weights in host memory (sleep mode)."""
    wake_s: NonNegative = 1.0
    """What waking takes beside copying the weights over PCIe [s]."""


class ColdStart(Spec):
    """How long a replica takes from a request for a machine to ready."""

    provision: Literal["profile", "typical"] = "profile"
    """Time until a machine is found: the chip's provision_s, always; or drawn from a lognormal around it, by provider
    and tier (`infersim/spec/provisioning.py`)."""
    provision_s: NonNegative | None = None
    """Your own time [s]; the median where provision_p99_s is given."""
    provision_p99_s: Positive | None = None
    """99th percentile of a lognormal [s]; always provision_s when absent."""
    image: Image | None = None
    """What is pulled; nothing when absent."""
    weights: Weights = Weights()
    """What is loaded."""
    initialise_s: NonNegative | None = None
    """Graph capture, or loading compiled programs [s]; the engine's when absent."""
    compilation_cache: bool = True
    """Whether compiled programs are found; else the engine's compile_s is added."""
    warm: Warm | None = None
    """Machines that are kept ready for more replicas."""

    @model_validator(mode="after")
    def _drawn(self) -> "ColdStart":
        if self.provision_p99_s is not None:
            if not self.provision_s:
                raise wrong_at(("provision_s",), "is missing; give the median that provision_p99_s belongs to")
            if self.provision_p99_s <= self.provision_s:
                found = f"found {self.provision_p99_s:g}, must exceed provision_s {self.provision_s:g}"
                raise wrong_at(("provision_p99_s",), found)
        if self.provision == "typical" and self.provision_s is not None:
            raise wrong_at(("provision",), "found typical beside your own provision_s; remove one of the two")
        return self


class Draining(Spec):
    """How a replica leaves that is told to go."""

    policy: Literal["finish", "migrate"] = "finish"
    """finish: it ends all that it holds; migrate: what it has not begun goes to other replicas, and it ends the rest."""
    grace_s: Positive | None = None
    """Longest that this may take [s]: what is held then is lost as in a failure. No limit when absent."""


class Billing(Spec):
    """How the seconds between finding a machine and giving it back become billed ones."""

    minimum_s: NonNegative = 0.0
    """Least that is billed for a machine that was given back [s]; 60 at AWS and Google Cloud."""
    step_s: NonNegative = Field(default=0.0)
    """Billed in whole multiples of this [s]: 1, 60 or 3600; to the instant when 0."""
