"""How a command ends when it cannot do its work: one message on stderr and an exit code, no traceback.

Not here: the messages themselves; each error is worded where it is found. A bug still shows its traceback.
"""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer.core import TyperGroup

from infersim.cli.screen import say

PROBLEM, INTERRUPTED = 2, 130

MENDABLE = {
    "infersim.spec.errors.SpecError",
    "infersim.workload.traces.TraceError",
    "infersim.cost.memory.DoesNotFit",
    "infersim.policies.errors.PolicyError",
    "infersim.controlplane.datacenter.Standstill",
    "infersim.results.directory.OutputError",
    "builtins.MemoryError",
}
"""Errors about the input or the place of the output. Names, so that no command pays for importing what did not fail."""


class Commands(TyperGroup):
    """A group whose commands end by the rules of this file."""

    def invoke(self, ctx):  # type: ignore[no-untyped-def]  # the type of a context differs between versions of typer
        """Run the chosen command."""
        with plain_failures():
            return super().invoke(ctx)


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn what users can mend into one message and exit code 2, and Ctrl-C into exit code 130."""
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        # A library that is being imported may turn the interruption into an error of its own.
        if interrupts or isinstance(error, KeyboardInterrupt):
            say("interrupted; nothing half-written is left")
            raise typer.Exit(INTERRUPTED) from None
        if not users_can_mend(error):
            raise
        say(f"error: {str(error) or type(error).__name__}")
        raise typer.Exit(PROBLEM) from None
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def users_can_mend(error: BaseException) -> bool:
    """Whether the error is about the input or the output place, not about infersim itself."""
    if isinstance(error, OSError):
        return error.errno != errno.EPIPE  # a reader such as `head` that has seen enough is no error
    return any(f"{kind.__module__}.{kind.__qualname__}" in MENDABLE for kind in type(error).__mro__)
