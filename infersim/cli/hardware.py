"""`infersim hardware list|show NAME`: the chips, with grade and source of every number."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, show_json

if TYPE_CHECKING:
    from infersim.spec.hardware import Hardware, Price

app = typer.Typer(no_args_is_help=True, help="The chips: facts, efficiencies, ridge points and prices.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command(name="list")
def list_hardware(as_json: AsJson = False) -> None:
    """List the shipped chips."""
    from infersim.cli.facts import number, plain_table
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
    if as_json:
        show_json(rows)
        return
    table = plain_table("", "name", "title", "kind", ">GB", ">GB/s", "dtype", ">TFLOP/s", ">TDP [W]", ">USD/h", "price")
    for row in rows:
        table.add_row(*(number(value) if isinstance(value, float) else str(value) for value in row.values()))
    console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A chip's name or the beginning of one, or the path of a profile.")],
    as_json: AsJson = False,
) -> None:
    """Show a chip: facts with grade and source, efficiencies, ridge points and prices."""
    from infersim.cli.facts import fact_table
    from infersim.spec import catalogue

    hardware = catalogue.hardware(name, prefix=True)
    if as_json:
        show_json({**hardware.model_dump(mode="json"), "ridge_points": ridge_points(hardware)})
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


EXECUTION = {
    "roofline": "Every chip of a replica runs all layers; weights stream from memory.",
    "pipeline": "Weights stay in on-chip memory, spread over the chips of a replica as pipeline stages.",
}


def ridge_points(hardware: "Hardware") -> dict[str, dict[str, Any]]:
    """FLOP a byte at which memory and arithmetic take equally long, by compute dtype: at the peaks, and achieved."""
    from infersim.cost.chip import Chip

    chip, efficiency = Chip(hardware), hardware.efficiency.matmul_compute
    points: dict[str, dict[str, Any]] = {}
    for dtype, tflops in hardware.peak_tflops.items():
        peak = tflops.value * 1e12
        achieved = peak * efficiency[dtype].value / chip.weight_bytes_s if dtype in efficiency else None
        points[dtype] = {"peak": peak / chip.peak_bytes_s, "achieved": achieved}
    return points


def _ridge_table(hardware: "Hardware") -> Any:
    from infersim.cli.facts import plain_table

    table = plain_table("Ridge points [FLOP/B]", "dtype", ">peak", ">achieved")
    for dtype, point in ridge_points(hardware).items():
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
