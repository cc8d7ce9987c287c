"""What a person sees: results on stdout, everything else on stderr.

Not here: what is in the tables (`results/table.py` for a run, the command's own file for the rest).
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[float, float], None]

PATIENCE_S = 1.0
"""A run that ends sooner shows no progress bar [s]."""
PIPE_WIDTH = 120
"""Width of tables that go into a file or a pipe, which has no width of its own [columns]."""


def say(message: str) -> None:
    """A message for the person, on stderr."""
    print(message, file=sys.stderr, flush=True)


def console() -> "Console":
    """Where tables go: stdout, of a fixed width when it is no terminal; text appears as it is, never as markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def show_json(value: Any) -> None:
    """JSON on stdout, and nothing else there."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def compilation_announced() -> Iterator[None]:
    """Say so, once, if the simulation loop is compiled now; with a warm cache nothing is said."""
    from numba.core import event

    class Announcement(event.Listener):  # type: ignore[misc]  # numba is not typed
        said = False

        def on_start(self, event: Any) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.said and module.startswith("infersim.dataplane"):
                say("compiling the simulation loop, once per installation ...")
                self.said = True

        def on_end(self, event: Any) -> None:
            """Nothing to say."""

    with event.install_listener("numba:compile", Announcement()):
        yield


@contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """A function that takes (simulated seconds done, horizon) and draws; none when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    begun = time.monotonic()

    def draw(done: float, horizon: float) -> None:
        bar.update(task, completed=min(done, horizon), total=horizon)
        if not bar.live.is_started and time.monotonic() - begun > PATIENCE_S:
            bar.start()

    try:
        yield draw
    finally:
        bar.stop()
