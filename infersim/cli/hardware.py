"""`infersim hardware list|show NAME|compare A B ...`: the chips, with grade and source of every number, or side by side.

Not here: what stands side by side (`infersim/studies/chips.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, say, show_json
from infersim.cli.studying import AsJson

if TYPE_CHECKING:
    from infersim.spec.hardware import Hardware, Price

app = typer.Typer(no_args_is_help=True, help="The chips: facts, efficiencies, ridge points and prices.")


@app.command(name="list")
def list_hardware(as_json: AsJson = False) -> None:
    """List the shipped chips."""
    from infersim.cli.facts import plain, show_rows
    from infersim.cost.chip import Chip
    from infersim.spec import catalogue

    chips = [catalogue.hardware(name) for name in catalogue.hardware_names()]
    rows = [
        {
            "name": hardware.name,
            "title": hardware.title,
            "execution": hardware.execution,
            "memory_gb": hardware.memory.capacity_gb.value,
            "memory_gb_s": hardware.memory.bandwidth_gb_s.value,
            "dtype": Chip(hardware).sixteen_bit,
            "peak_tflops": hardware.peak_tflops[Chip(hardware).sixteen_bit].value,
            "tdp_w": hardware.power.tdp_w.value,
            "usd_per_chip_hour": hardware.prices[0].usd_per_chip_hour.value,
            "price_tier": hardware.prices[0].tier,
        }
        for hardware in chips
    ]
    columns = ("name", "title", "kind", ">GB", ">GB/s", "dtype", ">TFLOP/s", ">W", ">USD/h", "price")
    show_rows(rows, as_json, columns, lambda **row: map(plain, row.values()))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A chip's name or the beginning of one, or the path of a profile.")],
    as_json: AsJson = False,
) -> None:
    """Show a chip: facts with grade and source, efficiencies, ridge points and prices."""
    from infersim.cli.facts import fact_table
    from infersim.cost.chip import Chip
    from infersim.spec import catalogue

    hardware = catalogue.hardware(name, prefix=True)
    if as_json:
        show_json({**hardware.model_dump(mode="json"), "ridge_points": Chip(hardware).ridge_points()})
        return
    out = console()
    out.print(f"{hardware.title} ({hardware.name}), {hardware.vendor}, {hardware.year}", style="bold")
    out.print(EXECUTION[hardware.execution])
    elsewhere = ("name", "title", "vendor", "year", "execution", "efficiency", "prices")
    facts = [key for key in type(hardware).model_fields if key not in elsewhere]
    out.print(fact_table("Facts of one chip (peaks dense, links one-directional)", hardware, facts))
    out.print(fact_table("Efficiencies: achieved share of a peak, and floors", hardware, ("efficiency",)))
    out.print(_ridge_table(hardware))
    out.print(_price_table(hardware.prices))


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Two chips or more: names, beginnings of names, or profiles.")],
    plot: Annotated[
        Path | None, typer.Option("-o", "--plot", metavar="FILE", help="Draw their rooflines (PNG, SVG or PDF).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put chips side by side: facts, efficiencies, ridge points and prices; their rooflines as a plot."""
    from infersim.cli.facts import plain, plain_table
    from infersim.studies.chips import ESTIMATED, compare_hardware

    found = compare_hardware(*names)
    if plot is not None:
        found.plot(plot)
        say(f"wrote {plot}")
    if as_json:
        show_json(found.rows)
        return
    table = plain_table("", "", *(f">{chip.name}" for chip in found.chips))
    for row in found.rows:
        cells = ("" if row[c.name] is None else plain(row[c.name]) for c in found.chips)
        table.add_row(
            row["quantity"],
            *(cell + "~" * (c.name in row["estimated"]) for c, cell in zip(found.chips, cells, strict=True)),
        )
    console().print(table)
    console().print(ESTIMATED)


EXECUTION = {
    "roofline": "Every chip of a replica runs all layers; weights stream from memory.",
    "pipeline": "Weights stay in on-chip memory, spread over the chips of a replica as pipeline stages.",
}


def _ridge_table(hardware: "Hardware") -> Any:
    from infersim.cli.facts import plain_table
    from infersim.cost.chip import Chip

    table = plain_table("Ridge points [FLOP/B]", "dtype", ">peak", ">achieved")
    for dtype, point in Chip(hardware).ridge_points().items():
        table.add_row(dtype, f"{point['peak']:.1f}", "" if point["achieved"] is None else f"{point['achieved']:.1f}")
    return table


def _price_table(prices: "list[Price]") -> Any:
    from infersim.cli.facts import number, plain_table, spread

    title = "Prices [USD per chip-hour]; the first of a tier is the default"
    table = plain_table(title, "tier", ">price", ">spread", "provider", "region", "date", "grade", "source")
    for price in prices:
        usd = price.usd_per_chip_hour
        where = (price.provider, price.region or "any", price.date)
        table.add_row(price.tier, number(usd.value), spread(usd), *where, usd.grade, usd.source)
    return table
