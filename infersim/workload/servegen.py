"""ServeGen (Alibaba, NSDI 2026): the published parameters of production clients, and requests generated from them.

Every client has a rate and a gap distribution in each window of 600 s, and length distributions in each window of six
hours. Unlike the upstream generator, prompt and output lengths are drawn independently (upstream inverts every field
with one uniform number, which makes them comonotone), and a window's gaps are not rescaled to fill it exactly (which
would take the variance of its count). Gaps are scaled to the window's rate, as published scales miss it. Apache-2.0.
"""

import ast
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infersim.spec.arrivals import MOST_CV, ServeGen
from infersim.spec.workload import Workload
from infersim.workload.columnar import batches
from infersim.workload.lengths import Law, table_law
from infersim.workload.pairs import paired_lengths
from infersim.workload.renewal import Times, gamma_gaps, weibull_gaps
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.streams import Feed, stream
from infersim.workload.traces import TraceError, byte_blocks, csv_rows, find_trace

WINDOW_S = 600.0
LENGTHS_WINDOW_S = 21_600.0
CHUNK = re.compile(r"chunk-(\d+)-(trace|dataset)\.(csv|json)(\.gz)?$")


LEAST_SHAPE = {"Gamma": 1e-3, "Weibull": 0.05}
"""Smaller ones leave double precision; the published ones go down to 0.01 and 0.16."""


class Window(NamedTuple):
    """What a client does in one window."""

    rate_rps: float
    cv: float
    weibull: bool
    shape: float


Clients = dict[int, dict[float, Window]]
"""Windows by their start [s], by client."""
Tables = dict[tuple[int, float], dict[str, Law]]
"""Length laws by field, by client and start of the window."""


def client_requests(
    spec: ServeGen, workload: Workload, horizon_s: float, seed: int, directory: Path | None, name: str = ""
) -> Iterator[Requests]:
    """Requests of all clients in order of arrival, a window at a time.

    Streams carry the client's number: leaving one out does not change another. Raises TraceError for faulty files, and
    where a client has neither lengths in the file nor in the workload.
    """
    clients = read_clients(find_trace(spec.file, directory), spec.model)
    tables = read_lengths(find_trace(spec.lengths_file, directory), spec.model) if spec.lengths_file else {}
    draws = {
        client: _Client(client, windows, tables, workload, seed, directory, name) for client, windows in clients.items()
    }
    begun = math.floor(spec.start_s / WINDOW_S) * WINDOW_S
    for window in np.arange(begun, spec.start_s + horizon_s, WINDOW_S).tolist():
        parts = [client.window(window, spec.rate_factor) for client in draws.values()]
        whole = joined(parts)
        times = whole.arrival_s - spec.start_s
        inside = whole.with_columns(arrival_s=times).at((times >= 0) & (times < horizon_s))
        yield inside.at(np.argsort(inside.arrival_s, kind="stable"))


class _Client:
    """The random streams of one client."""

    def __init__(
        self, number: int, windows: dict[float, Window], tables: Tables, workload: Workload, seed: int,
        directory: Path | None, name: str,
    ) -> None:  # fmt: skip
        self._windows, self._number = windows, number
        self._starts = {start: laws for (client, start), laws in tables.items() if client == number}
        key = f"{name}arrivals.client.{number}"
        self._gaps, self._lengths = stream(seed, key), stream(seed, f"{key}.lengths")
        self._feeds: list[Feed] = []
        if workload.input_tokens is not None and workload.output_tokens is not None:
            self._feeds = [Feed(blocks) for blocks in paired_lengths(workload, seed, directory, f"{key}.")]
        elif not self._starts:
            problem = f"client {number} has no lengths in lengths_file"
            raise TraceError(Path("lengths_file"), f"{problem}; give input_tokens and output_tokens for such clients")

    def window(self, start_s: float, factor: float) -> Requests:
        """The requests of a window."""
        window = self._windows.get(start_s)
        times = np.empty(0) if window is None else start_s + window_arrivals(window, factor, self._gaps)
        inputs, outputs, images = self._tokens(start_s, times.size)
        return requests(times, inputs, outputs, images=images)

    def _tokens(self, start_s: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Lengths, and images where there are some, from the client's own tables, of the latest window that has some; else from the workload's."""
        known = [start for start in self._starts if start <= start_s] or list(self._starts)[:1]
        if not known:
            return self._feeds[0].take(count), self._feeds[1].take(count), None
        laws = self._starts[max(known)]

        def drawn(field: str) -> np.ndarray:
            return laws[field].tokens(self._lengths.random(count))

        images = None
        if "input_tokens" in laws:
            inputs = drawn("input_tokens")
        else:
            inputs = drawn("text_tokens")
            if "image_count" in laws:
                images = drawn("image_count")
                inputs = inputs + images * drawn("image_tokens")
        return np.maximum(inputs, 1), np.maximum(drawn("output_tokens"), 1), images


def window_arrivals(window: Window, factor: float, rng: np.random.Generator) -> Times:
    """Arrivals of one window [s from its start]: a renewal process in equilibrium at the window's rate."""
    rate = window.rate_rps * factor
    first, draw = weibull_gaps(window.shape, rng) if window.weibull else gamma_gaps(window.cv, rng)
    expected = rate * WINDOW_S
    times, reached = [np.array([first])], first
    while reached < expected:
        gaps = draw(int(expected - reached + 4 * window.cv * math.sqrt(expected)) + 16)
        times.append(reached + np.cumsum(gaps))
        reached = float(times[-1][-1])
    found = np.concatenate(times)
    return found[found < expected] / rate


# ---------------------------------------------------------------- files


def read_clients(path: Path, model: str | None = None) -> Clients:
    """Rates and gaps of every client, from the Parquet table, one chunk's CSV, or a folder of chunks."""
    clients: Clients = {}
    for client, start, rate, cv, pattern, shape, line, file in _rate_rows(path, model):
        if rate == 0:
            continue
        if pattern not in LEAST_SHAPE:
            raise TraceError(file, f"found {pattern!r}; the pattern is Gamma or Weibull", line, "pattern")
        if not (0 < rate < 1e7 and 0 <= cv < 1e6 and LEAST_SHAPE[pattern] <= shape < 1e6) or start % WINDOW_S:
            found = f"found t_s {start:g}, rate {rate:g}, shape {shape:g}"
            problem = f"{found}; windows begin every {WINDOW_S:g} s, such a shape is {LEAST_SHAPE[pattern]:g} or more"
            raise TraceError(file, problem, line)
        weibull = pattern == "Weibull"
        own = cv if weibull else min(max(shape**-0.5, 1e-3), MOST_CV)
        clients.setdefault(client, {})[start] = Window(rate, own, weibull, shape)
    if not clients:
        raise TraceError(path, "has no client with a rate")
    return dict(sorted(clients.items()))


def _rate_rows(path: Path, model: str | None) -> Iterator[tuple[int, float, float, float, str, float, int, Path]]:
    if path.suffix == ".parquet":
        seen: set[str] = set()
        names = ("client", "t_s", "rate_rps", "cv", "pattern", "shape")
        for batch in batches(path, ("model", *names)):
            models = _chosen(path, batch.texts("model"), model, seen)
            numbers = [batch.numbers(name) for name in ("t_s", "rate_rps", "cv", "shape")]
            clients, patterns = batch.whole_numbers("client", 0, 10**6), batch.texts("pattern")
            for row in np.flatnonzero(models).tolist():
                start, rate, cv, shape = (float(column[row]) for column in numbers)
                yield int(clients[row]), start, rate, cv, str(patterns[row]), shape, int(batch.lines[row]), path
        return
    for client, file in _chunks(path, "trace"):
        for line, fields in csv_rows(file):
            try:
                t, rate, cv = map(float, fields[:3])
                if rate:
                    yield client, t, rate, cv, fields[3], float(fields[4]), line, file
            except (ValueError, IndexError):
                problem = f"found {','.join(fields)[:60]!r}; a line is t_s,rate,cv,pattern,shape,scale"
                raise TraceError(file, problem, line) from None


def _chosen(path: Path, found: list[str | None], model: str | None, seen: set[str]) -> np.ndarray:
    """Which rows are of the model; without one, all of the file (`seen` so far) must be of the same."""
    seen.update(name for name in found if name is not None)
    if model is None and len(seen) > 1:
        raise TraceError(path, f"holds several models; say which: {', '.join(sorted(seen))} ...", column="model")
    return np.array([name is not None and model in (None, name) for name in found])


def _chunks(path: Path, kind: str) -> list[tuple[int, Path]]:
    """Numbers and files of the chunks of a kind."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [(int(match[1]), file) for file in files if (match := CHUNK.search(file.name)) and match[2] == kind]
    if not found:
        raise TraceError(path, f"holds no chunk-N-{kind} file")
    return found


def read_lengths(path: Path, model: str | None = None) -> Tables:
    """Length laws of every client and window, from the Parquet table, one chunk's JSON, or a folder of chunks."""
    raw: dict[tuple[int, float], dict[str, tuple[list, list]]] = {}
    for client, start, field, values, weights in length_rows(path, model):
        table = raw.setdefault((client, start), {}).setdefault(field, ([], []))
        table[0].extend(values)
        table[1].extend(weights)
    return {
        key: {
            field: table_law(np.array(values, np.int64), np.array(weights))
            for field, (values, weights) in fields.items()
        }
        for key, fields in raw.items()
    }


RATIO = "reason_ratio"
"""Share of an answer that is reasoning; all other fields count tokens or parts."""


def length_rows(path: Path, model: str | None, ratios: bool = False) -> Iterator[tuple[int, float, str, list, list]]:
    """Client, window, field, values and weights, from either kind of file; a field may come in several pieces.

    `ratios` includes reason_ratio, whose values are no whole numbers.
    """
    if path.suffix == ".parquet":
        seen: set[str] = set()
        for batch in batches(path, ("model", "client", "t_s", "field", "value", "prob")):
            rows = np.flatnonzero(_chosen(path, batch.texts("model"), model, seen))
            clients, starts, names = batch.whole_numbers("client", 0, 10**6), batch.numbers("t_s"), batch.texts("field")
            values, weights = batch.numbers("value"), batch.numbers("prob")
            for row in rows.tolist():
                if (name := names[row] or "") != RATIO or ratios:
                    value = float(values[row]) if name == RATIO else int(values[row])
                    yield int(clients[row]), float(starts[row]), name, [value], [float(weights[row])]
        return
    for client, file in _chunks(path, "dataset"):
        try:
            windows: Any = json.loads(b"".join(byte_blocks(file)))
            for start, fields in windows.items():
                for field, text in fields.items():
                    table = ast.literal_eval(text)
                    if (field != RATIO or ratios) and table:
                        kind = float if field == RATIO else int
                        yield client, float(start), field, list(map(kind, table)), list(map(float, table.values()))
        except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError) as error:
            raise TraceError(file, f"is no ServeGen dataset: {str(error)[:80]}") from None
