"""`infersim model list|show NAME`: the architectures, and what follows from them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infersim.cli.screen import console, show_json
from infersim.cli.studying import AsJson

if TYPE_CHECKING:
    from infersim.spec.model import Model

app = typer.Typer(no_args_is_help=True, help="The models: architecture, parameters and KV cache.")


@app.command(name="list")
def list_models(as_json: AsJson = False) -> None:
    """List the shipped models."""
    from infersim.cli.facts import show_rows
    from infersim.spec import catalogue

    models = [catalogue.model(name) for name in catalogue.model_names()]
    rows = [
        {
            "name": model.name,
            "title": model.title,
            **derived(model),
            "layers": model.layers,
            "max_context": model.max_context,
            "native_dtype": model.native_dtype,
        }
        for model in models
    ]
    columns = ("name", "title", ">params [1e9]", ">active", ">KV [kB/token]", ">layers", ">context", "dtype")
    show_rows(rows, as_json, columns, _cells)
    if not as_json:
        console().print(f"and models of images: {', '.join(catalogue.image_model_names())}")


def _cells(
    name: str, title: str, parameters_b: float, active_parameters_b: float, kv_bytes_per_token_16_bit: float,
    layers: int, max_context: int, native_dtype: str,
) -> tuple[str, ...]:  # fmt: skip
    """A line of the list."""
    from infersim.cli.facts import number

    billions = f"{parameters_b:.2f}", f"{active_parameters_b:.2f}"
    kilobytes = f"{kv_bytes_per_token_16_bit / 1e3:,.1f}"
    return name, title, *billions, kilobytes, number(layers), number(max_context), native_dtype


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A model's name or the beginning of one, the path of a profile, or of a config.json.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show a model: its architecture, and the parameters and KV cache that follow from it."""
    from infersim.cli.facts import fact_table, number, plain, plain_table
    from infersim.spec import catalogue
    from infersim.spec.base import leaves
    from infersim.spec.diffusion import Diffusion
    from infersim.spec.model import Model

    model = catalogue.any_model(name, prefix=True)
    follows = derived(model) if isinstance(model, Model) else {}
    if as_json:
        show_json({**model.model_dump(mode="json"), **({"derived": follows} if follows else {})})
        return
    if isinstance(model, Diffusion):
        console().print(
            fact_table(f"{model.title} ({model.name}), {model.source}", model, list(Diffusion.model_fields)[3:])
        )
        return
    out = console()
    out.print(f"{model.title} ({model.name})", style="bold")
    out.print(f"source: {model.source}")
    table = plain_table("Architecture", "key", ">value")
    for path, leaf in leaves(model):
        if path not in ("name", "title", "source"):
            table.add_row(path, plain(leaf))
    out.print(table)
    table = plain_table("What follows", "quantity", ">value")
    for key, value in follows.items():
        table.add_row(key, number(value))
    out.print(table)


def derived(model: "Model") -> dict[str, Any]:
    """Parameters [1e9], those that one token uses [1e9], and bytes of 16-bit keys and values for a token [B]."""
    from infersim.cost.operators import active_parameters, kv_elements, parameters
    from infersim.cost.sharding import divide

    return {
        "parameters_b": parameters(model) / 1e9,
        "active_parameters_b": active_parameters(model) / 1e9,
        "kv_bytes_per_token_16_bit": 2 * kv_elements(model, divide(model, 1)),
    }
