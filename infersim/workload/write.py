"""What would arrive in a scenario, as a trace file.

Not here: the formats (`formats/`), the requests (`generate.py`).
"""

import gzip
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from infersim.spec.scenario import Scenario
from infersim.workload.formats.format import Format
from infersim.workload.generate import prefix_tokens, request_blocks
from infersim.workload.prompts import check_blocks, reblocked
from infersim.workload.requests import Requests, rechunked
from infersim.workload.traces import TraceError

ROWS = 1 << 16


def write_trace(scenario: Scenario, path: Path, kind: Format, directory: Path | None = None) -> int:
    """Write the scenario's requests in a format and return how many; nothing is left behind if it fails.

    A path that ends in .gz is packed. Raises ValueError if the workload waits for answers, or the format has blocks of
    another size than the workload, TraceError if the file cannot be written.
    """
    count = 0

    def counted(blocks: Iterable[Requests]) -> Iterator[Requests]:
        nonlocal count
        for block in blocks:
            count += len(block)
            yield block

    workload = scenario.workload
    if workload.waits:
        what = f"{scenario.name} has closed loops or agents, who send when they have been answered"
        raise ValueError(
            f"{what}: run it and export its requests (infersim export RUN --format csv), or use structure sessions"
        )
    have = prefix_tokens(workload, directory)
    blocks = counted(rechunked(request_blocks(workload, scenario.horizon_s, scenario.seed, directory), ROWS))
    want = kind.block_tokens if isinstance(kind.block_tokens, int) else have
    if have and want and have != want:
        check_blocks(have, want)
        blocks = (reblocked(block, have, want) for block in blocks)
    part = path.with_name(path.name + ".part")
    try:
        kind.write(part, blocks, *([have] if have and not isinstance(kind.block_tokens, int) else []))
        if path.suffix == ".gz":
            _pack(part, path)
        else:
            part.replace(path)
    except OSError as error:
        raise TraceError(path, f"cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _pack(source: Path, target: Path) -> None:
    """Pack a file with gzip, without the time and the name that it would say."""
    with source.open("rb") as raw, target.open("wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as packed:
        shutil.copyfileobj(raw, packed, 1 << 20)
