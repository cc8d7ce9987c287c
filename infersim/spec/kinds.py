"""Kinds of request: what a client wants of one prompt, which is not always one stream of tokens.

A completion is answered token by token, once or several times over (samples, beams); an embedding is the model's reading
of the prompt; an image is made in a fixed number of steps of fixed work. Not here: how long requests are
(`lengths.py`), what a step of an image costs (`diffusion.py`). Read `workload.py` next.
"""

from typing import Annotated, Literal

from pydantic import Field

from infersim.spec.adapters import Adapters
from infersim.spec.base import Count, Spec, wrong_at

Kind = Literal["completion", "embedding", "image"]
Rows = Annotated[int, Field(ge=1, le=1024)]


class OfKind(Spec):
    """What the requests of a class, or of a workload, ask for; a class without one of these keys has the workload's."""

    kind: Kind | None = None
    """completion (when absent): output tokens, one after the other; embedding: none, the answer is there when the prompt is
    processed (encoders, embedding and reward models); image: of a diffusion model, in `steps` steps."""
    samples: Rows | None = None
    """Completions of each prompt (n of the OpenAI API), 1 when absent: they share its processing and its full KV blocks,
    each has output_tokens, and all are the client's."""
    beams: Rows | None = None
    """Beams of a beam search, 1 when absent: they cost what samples cost, and the client gets the best one."""
    steps: Count | None = None
    """Denoising steps of an image."""
    adapters: Adapters | None = None
    """Adapters (LoRA) that its requests name; none when absent. Pools need `lora` for them."""

    @property
    def is_kind(self) -> Kind:
        """The kind of its requests."""
        return self.kind or "completion"

    @property
    def width(self) -> int:
        """Rows that each request has while it decodes."""
        return max(self.samples or 1, self.beams or 1)

    @property
    def answers(self) -> int:
        """Answers, token by token, that the client gets; 0 if the answer comes whole, when the request ends."""
        return (self.samples or 1) if self.is_kind == "completion" else 0


LENGTHS_OF: dict[Kind, tuple[str, ...]] = {
    "completion": ("input_tokens", "output_tokens"),
    "embedding": ("input_tokens",),
    "image": (),
}
"""The lengths that requests of a kind have."""


def check_kind(asked: OfKind, path: tuple) -> None:
    """Raise ValueError if the keys do not go together; `asked` has the workload's where a class has none."""
    if (asked.samples or 1) > 1 and (asked.beams or 1) > 1:
        raise wrong_at((*path, "beams"), "a beam search gives its best answer; give samples or beams, not both")
    if asked.is_kind != "completion" and asked.width > 1:
        key = "samples" if (asked.samples or 1) > 1 else "beams"
        raise wrong_at((*path, key), f"is for completions, and this is kind {asked.is_kind}; remove it")
    if asked.is_kind == "image" and asked.adapters is not None:
        raise wrong_at((*path, "adapters"), "are for models of tokens; remove them")
    if (asked.is_kind == "image") != (asked.steps is not None):
        missing = asked.steps is None
        what = "is missing; say how many denoising steps an image takes" if missing else "is for kind image; remove it"
        raise wrong_at((*path, "steps"), what)
