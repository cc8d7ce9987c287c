"""How a command ends when it cannot do its work: one message on stderr and an exit code, no traceback.

Not here: the messages themselves; each error is worded where it is found. A bug still shows its traceback.
"""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
from typer.core import TyperGroup

from infersim.cli import INTERRUPTED, ON_INTERRUPT, PROBLEM
from infersim.cli.screen import say

RETRY_S = 0.02
"""How soon an interruption is tried again that came where it would be lost [s]."""

MENDABLE = {
    "infersim.spec.errors.SpecError",
    "infersim.workload.traces.TraceError",
    "infersim.cost.memory.DoesNotFit",
    "infersim.policies.errors.PolicyError",
    "infersim.controlplane.standstill.Standstill",
    "infersim.results.directory.OutputError",
    "infersim.results.directory.RunDirectoryError",
    "infersim.results.story.UnknownRequest",
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
    with interruptions() as interrupts:
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            # A library that is being imported may turn the interruption into an error of its own.
            if interrupts or isinstance(error, KeyboardInterrupt):
                say(ON_INTERRUPT)
                raise typer.Exit(INTERRUPTED) from None
            if not users_can_mend(error):
                raise
            say(f"error: {str(error) or type(error).__name__}")
            raise typer.Exit(PROBLEM) from None


@contextmanager
def interruptions() -> Iterator[list[int]]:
    """The signals of Ctrl-C that come meanwhile; each raises KeyboardInterrupt where it is not lost."""
    signals: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if not _in_llvm(frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, RETRY_S)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # someone else answers, or nobody shall
        yield signals
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield signals
    finally:
        if signals and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_llvm(frame: FrameType | None) -> bool:
    """Whether LLVM has called back into Python, where an exception would be printed and forgotten."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite."):
            return True
        frame = frame.f_back
    return False


def users_can_mend(error: BaseException) -> bool:
    """Whether the error is about the input or the output place, not about infersim itself."""
    if isinstance(error, OSError):
        return error.errno != errno.EPIPE  # a reader such as `head` that has seen enough is no error
    return any(f"{kind.__module__}.{kind.__qualname__}" in MENDABLE for kind in type(error).__mro__)
