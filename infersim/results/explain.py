"""Why a run came out as it did, in plain words and tables; or what happened to one of its requests.

    explain(simulate(scenario))            print it, or let a notebook show it
    explain("runs/demo", request=17)

Everything is concluded from the summary and the frames, so a run directory says the same as a fresh result.

Not here: the single chapters (`why_latency.py`, `why_endings.py`, `why_cost.py`, `story.py`). Read `report.py` for the page.
"""

from pathlib import Path

from infersim.results.chapter import Chapter, Explanation
from infersim.results.directory import opened
from infersim.results.run import Run, rows_share
from infersim.results.slo import why_slo
from infersim.results.story import story
from infersim.results.units import percent
from infersim.results.why_cascades import why_cascades
from infersim.results.why_cost import idle_windows, what_bound, why_bill
from infersim.results.why_endings import why_endings
from infersim.results.why_fleet import why_fleet
from infersim.results.why_latency import why_tpot, why_ttft
from infersim.results.why_models import why_models


def explain(run: Run | str | Path, request: int | None = None) -> Explanation:
    """Explain a result or a run directory, or tell one request's story.

    Raises RunDirectoryError (the directory is not what was written) and UnknownRequest.
    """
    run = opened(run)
    name = run.summary["scenario"]["name"]
    if request is not None:
        return Explanation(f"{name}: request {request}", story(run, request))
    return Explanation(f"{name}: why it came out like this", why(run))


def why(run: Run) -> tuple[Chapter, ...]:
    """The chapters of a run's explanation."""
    return (
        *_sampled(run),
        why_slo(run),
        *why_endings(run),
        *why_cascades(run),
        *why_models(run),
        *why_fleet(run),
        why_ttft(run),
        why_tpot(run),
        why_bill(run),
        idle_windows(run),
        what_bound(run),
    )


def _sampled(run: Run) -> tuple[Chapter, ...]:
    """A word on what rests on a sample, where something does."""
    share = rows_share(run.summary)
    words = f"{percent(share)} of the requests, chosen by the hash of their id, have a row; what is said of the slowest and of "
    return () if share == 1 else (Chapter("Sample", (words + "typical ones is said of these. The rest is of all.",)),)
