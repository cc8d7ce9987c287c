"""The same function over many tasks: here, in processes of this machine, or on a Dask cluster, all by joblib.

Answers come as they are ready, each with the number of its task, so the caller can keep what is finished. A task that
fails answers with `Failed`, and the rest goes on. Not here: what the tasks do.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from infersim import __version__
from infersim.studies.errors import StudyError

Task = TypeVar("Task")
Answer = TypeVar("Answer")

CONNECT_S = 10
"""How long a cluster may take to answer [s]."""


@dataclass(frozen=True)
class Failed:
    """A task that did not come to an end."""

    why: str
    """The error's message."""


@dataclass(frozen=True)
class Machines:
    """Where tasks run."""

    workers: int | None = None
    """Processes of this machine, or tasks at a time on the cluster; as many as there are cores when absent."""
    cluster: Any = None
    """Address of a Dask scheduler (tcp://host:port), a cluster object of dask-jobqueue or dask-kubernetes, a client."""


HERE = Machines(workers=1)
"""In this process, one after the other."""


def each(
    function: Callable[[Task], Answer], tasks: Sequence[Task], machines: Machines = HERE
) -> Iterator[tuple[int, Answer | Failed]]:
    """(number of the task, its answer) in the order in which they are ready.

    The answers do not depend on where and how many at a time they are worked out.
    """
    if not tasks:
        return
    if machines.cluster is None and (machines.workers == 1 or len(tasks) == 1):
        yield from (_attempt(function, number, task) for number, task in enumerate(tasks))
        return
    import joblib

    with _backend(machines) as count:
        yield from joblib.Parallel(n_jobs=count, return_as="generator_unordered")(
            joblib.delayed(_attempt)(function, number, task) for number, task in enumerate(tasks)
        )


def in_order(
    function: Callable[[Task], Answer], tasks: Sequence[Task], machines: Machines = HERE
) -> list[Answer | Failed]:
    """The answers in the order of the tasks."""
    answers = dict(each(function, tasks, machines))
    return [answers[number] for number in range(len(tasks))]


def all_done(
    function: Callable[[Task], Answer],
    tasks: Sequence[Task],
    machines: Machines,
    failed: Callable[[int, str], StudyError],
    progress: Callable[[float, float], None] | None = None,
) -> list[Answer]:
    """The answers in the order of the tasks; raises what `failed` makes of the first one's number and message that fails."""
    answers: dict[int, Answer] = {}
    for number, answer in each(function, tasks, machines):
        if isinstance(answer, Failed):
            raise failed(number, answer.why)
        answers[number] = answer
        if progress is not None:
            progress(len(answers), len(tasks))
    return [answers[number] for number in range(len(tasks))]


def _attempt(function: Callable[[Task], Answer], number: int, task: Task) -> tuple[int, Answer | Failed]:
    """One task; whatever goes wrong in it is its answer."""
    try:
        return number, function(task)
    except Exception as error:
        text = str(error) or "no further word"
        return number, Failed(text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}")


@contextlib.contextmanager
def _backend(machines: Machines) -> Iterator[int]:
    """joblib's backend for these machines; how many tasks at a time."""
    import joblib

    if machines.cluster is None:
        with joblib.parallel_config("loky"):
            yield machines.workers or -1
        return
    client, ours = _client(machines.cluster)
    try:
        _check_versions(client)
        with joblib.parallel_config("dask", client=client):
            yield machines.workers or -1
    finally:
        if ours:
            client.close()


def _client(cluster: Any) -> tuple[Any, bool]:
    """A Dask client, and whether it is ours to close. Raises StudyError when nobody answers."""
    try:
        from distributed import Client
    except ImportError:
        raise StudyError("a cluster needs Dask; install it with: pip install 'infersim[dask]'", "--cluster") from None
    if isinstance(cluster, Client):
        return cluster, False
    try:
        client = Client(cluster, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise StudyError(
            f"no Dask scheduler answers at {cluster} ({error}); start one with `dask scheduler`, workers with "
            "`dask worker ADDRESS`, and give its address, such as tcp://127.0.0.1:8786",
            "--cluster",
        ) from None
    if not client.scheduler_info(n_workers=-1)["workers"]:
        client.close()
        raise StudyError(
            f"the scheduler at {cluster} has no workers; start some with `dask worker ADDRESS`", "--cluster"
        )
    return client, True


def _check_versions(client: Any) -> None:
    """Raise StudyError unless every worker has this infersim."""
    for worker, found in sorted(client.run(_worker_version).items()):
        if found != __version__:
            raise StudyError(
                f"worker {worker} has infersim {found or 'not at all'} and here it is {__version__}; install the same "
                "version everywhere, or stop that worker",
                "--cluster",
            )


def _worker_version() -> str | None:
    """The version of infersim on a worker; None without any. Imports inside, for it runs elsewhere."""
    try:
        from infersim import __version__ as installed
    except ImportError:
        return None
    return installed
