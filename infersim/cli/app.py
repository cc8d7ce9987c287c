"""The list of commands. Each is a file beside this one; everything heavy is imported when its command runs."""

from typing import Annotated

import typer

from infersim import __version__
from infersim.cli import (
    breakeven,
    calibrate,
    check,
    claims,
    compare,
    curve,
    engine,
    explain,
    export,
    hardware,
    measure,
    model,
    plan,
    report,
    run,
    scenarios,
    schema,
    sensitivity,
    shootout,
    sweep,
    trace,
    validate,
)
from infersim.cli.failure import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"infersim {__version__}")
        raise typer.Exit


@app.callback()
def infersim(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate a datacentre that serves AI models: latency, cost and energy of a scenario."""


app.command(name="run")(run.run)
app.command(name="explain")(explain.explain)
app.command(name="report")(report.report)
app.command(name="export")(export.export)
app.command(name="sweep")(sweep.sweep)
app.command(name="curve")(curve.curve)
app.command(name="check")(check.check)
app.command(name="claims")(claims.claims)
app.command(name="calibrate")(calibrate.calibrate)
app.command(name="validate")(validate.validate)
app.command(name="measure")(measure.measure)
app.command(name="plan")(plan.plan)
app.command(name="shootout")(shootout.shootout)
app.command(name="compare")(compare.compare)
app.command(name="sensitivity")(sensitivity.sensitivity)
app.command(name="breakeven")(breakeven.breakeven)
app.command(name="scenarios")(scenarios.scenarios)
app.add_typer(hardware.app, name="hardware")
app.add_typer(model.app, name="model")
app.add_typer(engine.app, name="engine")
app.command(name="schema")(schema.schema)
app.add_typer(trace.app, name="trace")
