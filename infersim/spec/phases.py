"""Things that happen at a given time: an outage, a power cap, a rolling upgrade.

Not here: doing them (`infersim/controlplane/phases.py`).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Fraction, NonNegative, Positive, Spec, wrong_at


class Outage(Spec):
    """Machines are gone for a while: a region's, a zone's, or whole pools'."""

    kind: Literal["outage"]
    """An outage."""
    at_s: NonNegative
    """When it begins [s]."""
    for_s: Positive
    """How long it lasts [s]."""
    region: str | None = None
    """All pools of this region."""
    zone: str | None = None
    """All replicas in this zone, of all pools that name it."""
    pools: list[str] | None = None
    """These pools; all when neither region nor zone is given."""

    @model_validator(mode="after")
    def _one_target(self) -> "Outage":
        given = [key for key in ("region", "zone") if getattr(self, key) is not None]
        if len(given) == 2:
            raise wrong_at(("zone",), "found beside region; give one of the two")
        if self.region is not None and self.pools is not None:
            raise wrong_at(("pools",), "found beside region; give one of the two")
        return self


class PowerCap(Spec):
    """Chips may draw only a share of their power limit for a while."""

    kind: Literal["power_cap"]
    """A power cap."""
    at_s: NonNegative
    """When it begins [s]."""
    for_s: Positive
    """How long it lasts [s]."""
    share: Fraction
    """Of each chip's power limit."""
    pools: list[str] | None = None
    """Pools that it concerns; all when absent."""


class RollingUpgrade(Spec):
    """All replicas that serve at a given time are replaced one after the other, as by a Kubernetes Deployment."""

    kind: Literal["rolling_upgrade"]
    """A rolling upgrade."""
    at_s: NonNegative
    """When it begins [s]; it ends when the last old replica is gone."""
    surge: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Most replicas more than there were (maxSurge); of each cell, where there are several."""
    unavailable: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Most replicas fewer that serve (maxUnavailable); of each cell."""
    pools: list[str] | None = None
    """Pools that it concerns; all when absent."""

    @model_validator(mode="after")
    def _moves(self) -> "RollingUpgrade":
        if self.surge == 0 and self.unavailable == 0:
            raise wrong_at(("surge",), "found 0 beside unavailable 0: no replica could ever be replaced; allow one")
        return self


Phase = Annotated[Outage | PowerCap | RollingUpgrade, Field(discriminator="kind")]
