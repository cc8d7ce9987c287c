"""Cascades: a small model answers first, and a larger one takes what it cannot (FrugalGPT, Chen et al. 2023).

A *question* is what a user sends and waits for; each model that works on it gets a *call*. To the data plane every call is
a request of its own, told apart by its *lane*: a class, or a later step of a class's cascade.

Not here: which questions go on (`infersim/workload/cascades.py`), and how calls become questions again
(`infersim/results/questions.py`). Read `workload.py` next.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from infersim.spec.base import NonNegative, Spec, wrong_at

MOST_STEPS = 8


class CascadeStep(Spec):
    """One of the models that are asked in turn."""

    pool: str = Field(min_length=1)
    """Whose replicas answer; it serves this step and whatever else it takes."""
    answers: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of all questions that this model answers well enough, so that nobody else is asked; what it answers well, later
    ones would too. The last step has none: its answers stand."""
    judge_s: NonNegative = 0.0
    """Time to judge an answer before the next model is asked [s]; answers that stand are streamed and wait for nobody."""


Cascade = Annotated[list[CascadeStep], Field(min_length=2, max_length=MOST_STEPS)]


class Lane(NamedTuple):
    """What the data plane takes for a class of requests."""

    tenant: int
    """Number of the class."""
    step: int
    """Of its cascade, from 0; 0 without one."""


def lanes_of(cascades: Sequence[list[CascadeStep] | None]) -> list[Lane]:
    """The lanes of classes with these cascades: first one for each class, in their order, then the later steps."""
    first = [Lane(index, 0) for index in range(len(cascades))]
    return first + [Lane(index, step) for index, own in enumerate(cascades) for step in range(1, len(own or []))]


def check_cascade(steps: list[CascadeStep], path: tuple[str | int, ...]) -> None:
    """Raise ValueError unless each model but the last answers a share, no less than the one before it, in its own pool."""
    for number, step in enumerate(steps):
        here = (*path, "cascade", number)
        if step.pool in [other.pool for other in steps[:number]]:
            raise wrong_at((*here, "pool"), f"{step.pool} was asked before; name another pool")
        if number == len(steps) - 1:
            if step.answers is not None:
                raise wrong_at((*here, "answers"), "answers of the last model always stand; remove it")
            if step.judge_s:
                raise wrong_at((*here, "judge_s"), "answers of the last model are not judged; remove it")
        elif step.answers is None:
            raise wrong_at((*here, "answers"), "is missing; say which share of all questions it answers well enough")
        elif number and step.answers < (before := steps[number - 1].answers or 0.0):
            what = f"found {step.answers:g}, and the model before it answers {before:g}, all of which this one could"
            raise wrong_at((*here, "answers"), f"{what}; use at least that")
