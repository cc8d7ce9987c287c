"""`infersim calibrate FILE --hardware X`: fit a profile to one's own measurements.

Not here: the fit (`infersim/studies/calibration.py`).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infersim.cli.screen import console, progress_bar, say

if TYPE_CHECKING:
    from infersim.studies.cases import Case


def calibrate(
    file: Annotated[
        Path, typer.Argument(help="Our CSV, or the JSON of vllm bench serve, AIPerf, GuideLLM or inference-perf.")
    ],
    hardware: Annotated[str, typer.Option(help="The chip, or the path of its profile.")],
    engine: Annotated[str | None, typer.Option(help="The engine, or the path of its profile; vllm for JSON.")] = None,
    model: Annotated[str | None, typer.Option(help="JSON only: the model.")] = None,
    tensor: Annotated[int, typer.Option(help="JSON only: chips that share each layer.")] = 1,
    weights: Annotated[str, typer.Option(help="JSON only: dtype of the weights.")] = "bf16",
    kv_cache: Annotated[str, typer.Option(help="JSON only: dtype of keys and values.")] = "bf16",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the chip's fitted profile.")] = None,
    engine_out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the engine's fitted profile.")] = None,
) -> None:
    """Fit a chip's and an engine's knobs to measurements; print the error before and after on data left out."""
    from infersim.cli.facts import number, plain_table
    from infersim.spec.profile import profile_yaml
    from infersim.studies.calibration import calibrate as fit

    cases = _cases(file, hardware, engine, model, tensor, weights, kv_cache)
    with progress_bar("fit") as progress:
        found = fit(cases, progress=progress)
    table = plain_table("Knobs", "knob", ">before", ">after", ">spread", "identified")
    for knob in found.knobs:
        words = "yes" if knob.identified else "no: the data do not tell"
        table.add_row(knob.name, number(knob.before), number(knob.after), f"± {knob.spread:.0%}", words)
    console().print(table)
    table = plain_table("Median absolute error [%]", "rows", ">number", ">before", ">after")
    for what, rows, (before, after) in (
        ("fitted", found.fitted_rows, found.fitted_error_pct),
        ("left out", found.left_out_rows, found.left_out_error_pct),
    ):
        shown = ("", "") if before != before else (f"{before:.1f}", f"{after:.1f}")
        table.add_row(what, str(rows), *shown)
    console().print(table)
    for path, profile in ((out, found.hardware), (engine_out, found.engine)):
        if path is not None:
            path.write_text(profile_yaml(profile, f"Fitted by infersim calibrate to {file.name}"), encoding="utf-8")
            say(f"wrote {path}")


def _cases(
    file: Path, hardware: str, engine: str | None, model: str | None, tensor: int, weights: str, kv_cache: str
) -> "list[Case]":
    """The file's runs on this chip and engine."""
    from infersim.spec import catalogue
    from infersim.spec.errors import Problem, SpecError
    from infersim.studies.bench_files import Deployed, read_bench
    from infersim.studies.measurements import read_measurements

    chip = catalogue.hardware(hardware)
    served_by = catalogue.engine(engine or "vllm").on(chip)
    if file.suffix.lower() == ".json":
        if model is None:
            raise SpecError(Problem("says nothing of the model's shape; give --model", source=str(file)))
        deployed = Deployed(
            catalogue.model(model), chip, served_by, tensor, weights=weights,
            kv_cache=kv_cache,
        )  # fmt: skip
        return read_bench(file, deployed)
    cases = [case for case in read_measurements(file).cases if case.hardware.name == chip.name]
    if engine is None:
        return [replace(case, hardware=chip) for case in cases]
    return [replace(case, hardware=chip, engine=served_by) for case in cases if case.engine.name == served_by.name]
