"""`infersim trace inspect|fit|generate|download`: recorded and synthetic traffic, before a run.

Not here: what is computed (`infersim/workload/inspect.py`, `fit.py`, `download.py`).
"""

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, say, show_json

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, help="Traces of requests: inspect, fit, generate, download.")
File = Annotated[Path, typer.Argument(help="A trace file, of any known format; gz is unpacked.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def inspect(
    file: File,
    plot: Annotated[Path | None, typer.Option(help="Draw arrivals, gaps and lengths into this PNG or SVG.")] = None,
    lru: Annotated[list[int] | None, typer.Option(help="Prefix hits of an LRU cache of so many blocks.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model of a ServeGen table that holds several.")] = None,
    lengths: Annotated[Path | None, typer.Option(help="Length tables beside a ServeGen table of rates.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a person wants to know of a trace before using it.

    Traces of requests, series of rates, ServeGen's clients, and what scenarios read besides: prices, carbon, spot
    machines, faults.
    """
    found = _inspected(file, lru or [], model, lengths)
    if as_json:
        show_json(_plain(found))
    else:
        _print(found)
    if plot is not None:
        from infersim.results.trace_plots import draw_trace
        from infersim.workload.inspect import Inspection

        if not isinstance(found, Inspection):
            raise typer.BadParameter("only a trace of requests is drawn", param_hint="--plot")
        draw_trace(found, plot)
        say(f"plot: {plot}")


def _inspected(file: Path, lru: list[int], model: str | None, lengths: Path | None) -> Any:
    """A trace, or a series of counts, or ServeGen's clients, or what is recorded beside requests."""
    from infersim.workload.formats import FORMATS
    from infersim.workload.formats.format import head_of
    from infersim.workload.inspect import inspect
    from infersim.workload.inspect_rates import inspect_clients, inspect_series
    from infersim.workload.inspect_recorded import recording
    from infersim.workload.series import COUNTS, RATES
    from infersim.workload.servegen import CHUNK

    if file.is_dir() or CHUNK.search(file.name):
        return inspect_clients(file, model, lengths)
    head = head_of(file)
    columns = set(head.columns)
    if columns in (set(COUNTS), set(RATES)):
        return inspect_series(file)
    if {"rate_rps", "pattern"} <= columns:
        return inspect_clients(file, model, lengths)
    known = any(kind.fits(head) for kind in FORMATS)
    beside = None if known else recording(head)
    return beside(file) if beside is not None else inspect(file, lru)


def _plain(found: Any) -> dict[str, Any]:
    """A finding as JSON can hold it: no histograms, no NaN."""
    hidden = {field.name for field in fields(found) if not field.repr}
    kept = {field.name: getattr(found, field.name) for field in fields(found) if field.name not in hidden}
    return {name: _json(value) for name, value in kept.items()}


def _json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _json(asdict(value))
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def _print(found: Any) -> None:
    from infersim.cli.facts import plain_table

    out = console()
    title = getattr(found, "title", "a series of counts or rates" if hasattr(found, "waves") else "ServeGen clients")
    out.print(f"{found.file}: {title}", style="bold")
    table = plain_table("", "figure", "value")
    table.columns[1].no_wrap = False  # hours and days are long lists
    for name, value in _plain(found).items():
        if name in ("file", "title", "warnings") or value in (None, {}, []):
            continue
        for label, text in _rows(name, value):
            table.add_row(label, text)
    out.print(table)
    for warning in getattr(found, "warnings", []):
        out.print(f"warning: {warning}", soft_wrap=True)


def _rows(name: str, value: Any) -> list[tuple[str, str]]:
    """A figure, or a group of them, as lines of a table."""
    from infersim.cli.facts import number

    if isinstance(value, dict):
        prefix = "" if name in ("figures", "details") else f"{name} "
        return [row for key, item in value.items() for row in _rows(f"{prefix}{key}", item)]
    if isinstance(value, list):
        return [(name, " ".join(number(item) for item in value))]
    return [(name, number(value) if isinstance(value, int | float) else str(value))]


@app.command()
def fit(file: File, as_json: AsJson = False) -> None:
    """Propose a synthetic workload like the trace, as YAML that can be pasted into a scenario."""
    from infersim.workload.fit import fit

    found = fit(file)
    if as_json:
        candidates = [
            {"arrivals": one.arrivals.model_dump(exclude_none=True), "dispersion": one.dispersion, "error": one.error}
            for one in found.candidates
        ]
        show_json(_json({"file": found.file, "verdict": found.verdict, "dispersion": found.dispersion,
                         "candidates": candidates, "yaml": found.yaml()}))  # fmt: skip
        return
    from infersim.cli.facts import number, plain_table

    out = console()
    out.print(f"# {found.file}: {found.verdict}", soft_wrap=True)
    widths = list(found.dispersion)
    if found.candidates and found.candidates[0].dispersion:
        table = plain_table("", "arrivals", *(f">IoD {width} s" for width in widths), ">worst error")
        table.add_row("the trace", *(number(found.dispersion[width]) for width in widths), "")
        for one in found.candidates:
            shown = [number(one.dispersion[width]) if width in one.dispersion else "" for width in widths]
            mark = " (chosen)" if one is found.chosen else ""
            table.add_row(f"{one.arrivals.process}{mark}", *shown, f"{one.error:.0%}")
        out.print(table)
    for name, law in (("input", found.input_tokens), ("output", found.output_tokens)):
        if law is not None:
            out.print(f"# {name} tokens: {law.law.distribution}, Kolmogorov-Smirnov distance {law.distance:.3f}")
    out.print(found.yaml(), soft_wrap=True)


@app.command()
def generate(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write; .parquet writes Parquet.")],
    format: Annotated[str | None, typer.Option(help="csv, parquet, mooncake, bailian, azure-2023 ...")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw; the scenario's when absent.")] = None,
) -> None:
    """Write what would arrive in a scenario as a trace file."""
    from infersim.spec.load import load_scenario
    from infersim.workload.formats import format_named
    from infersim.workload.write import write_trace

    asked = load_scenario(scenario, [*(settings or []), *([] if seed is None else [f"seed={seed}"])])
    try:
        kind = format_named(format or ("parquet" if out.suffix == ".parquet" else "csv"))
        origin = asked.origin
        rows = write_trace(asked, out, kind, origin.directory if origin is not None else None)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        hint = "SCENARIO" if asked.workload.waits else "--format"
        raise typer.BadParameter(str(error), param_hint=hint) from error
    say(f"{rows} requests written to {out} ({kind.name})")


@app.command()
def preview(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files, or names of shipped ones.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to draw: PNG or SVG.")] = Path("arrivals.png"),
) -> None:
    """Draw when the requests of scenarios arrive; those with closed loops or agents are simulated for it."""
    from infersim.cli.facts import plain_table
    from infersim.results.units import clock, digits
    from infersim.spec.load import load_scenario
    from infersim.studies.arrivals_plot import arrivals, draw_arrivals

    found = [arrivals(load_scenario(scenario)) for scenario in scenarios]
    table = plain_table("", "scenario", ">requests", ">in", ">requests/s", ">peak to mean", ">dispersion, 10 s")
    for one in found:
        figures = (digits(one.peak_to_mean), digits(one.dispersion))
        table.add_row(one.name, f"{one.count:,}", clock(one.span_s), digits(one.mean_rps), *figures)
    console().print(table)
    draw_arrivals(found, out)
    say(f"plot: {out}")


@app.command()
def download(
    name: Annotated[str | None, typer.Argument(help="Which trace; without, the list is printed.")] = None,
    folder: Annotated[Path, typer.Option("-o", "--out", help="Where to put it.")] = Path("traces"),
) -> None:
    """Fetch a public trace from its published address, check its hash, and say licence and citation."""
    from infersim.cli.facts import plain_table
    from infersim.workload.download import PUBLIC, download, public_trace

    if name is None:
        table = plain_table("Public traces", "name", "file", "licence")
        for trace in PUBLIC:
            table.add_row(trace.name, trace.file or f"by hand: {trace.url}", trace.licence)
        console().print(table)
        return
    try:
        trace = public_trace(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from error
    say(f"{trace.url}\nlicence {trace.licence}; cite: {trace.citation}")
    target = download(trace, folder)
    checked = "hash checked" if trace.sha256 else "no published hash to check"
    say(f"{target} ({checked}); set INFERSIM_TRACES to {folder} to use it in scenarios")
