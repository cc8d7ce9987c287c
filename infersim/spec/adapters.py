"""Adapters (LoRA): which ones requests name, and the slots in which a replica holds some of them.

Not here: what they cost (`infersim/cost/adapters.py`), who is served when (`infersim/dataplane/adapters.py`).
"""

from typing import Annotated

from pydantic import Field

from infersim.spec.base import NonNegative, Spec

Rank = Annotated[int, Field(ge=1, le=1024)]


class Adapters(Spec):
    """Fine-tunings of the model by adapters; those of different classes are different ones."""

    count: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many there are."""
    rank: Rank | Annotated[list[Rank], Field(min_length=1, max_length=1000)] = 16
    """Rank of each; those of a list take turns."""
    zipf_exponent: NonNegative = 1.0
    """The k-th is asked for in proportion to k to the minus this."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the requests (of the sessions) that name one; the others ask the model itself."""

    @property
    def ranks(self) -> list[int]:
        """Ranks that take turns."""
        return self.rank if isinstance(self.rank, list) else [self.rank]


class AdapterSlots(Spec):
    """Room of a replica for adapters; what is in none is loaded from host memory when a request needs it."""

    slots: Annotated[int, Field(ge=1, le=1024)]
    """Adapters that a replica holds (vLLM's max_loras)."""
    max_rank: Rank = 16
    """Highest rank; slots and kernels are made for it (vLLM's max_lora_rank)."""
