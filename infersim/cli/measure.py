"""`infersim measure`: efficiencies of the GPU of this machine, as a profile.

Not here: timing (`infersim/studies/gpu.py`), the fit (`infersim/studies/measure.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infersim.cli.screen import console, progress_bar, say

if TYPE_CHECKING:
    from infersim.spec.hardware import Hardware


def measure(
    model: Annotated[str, typer.Option(help="The model whose layers' shapes are timed.")] = "llama-3.1-8b",
    hardware: Annotated[
        str | None, typer.Option(help="The chip, or its profile; by the name that the driver gives when absent.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the profile.")] = None,
) -> None:
    """Measure products, attention, bandwidth, launch floor and all-reduce on this machine's GPU (extra `measure`)."""
    from infersim.cli.facts import fact_table
    from infersim.spec import catalogue
    from infersim.spec.profile import profile_yaml
    from infersim.studies.gpu import time_kernels, torch_with_gpu
    from infersim.studies.measure import measured_profile

    torch = torch_with_gpu()
    chip = catalogue.hardware(hardware, prefix=True) if hardware else chip_of(torch.cuda.get_device_name(0))
    shapes = catalogue.model(model, prefix=True)
    with progress_bar("kernels") as progress:
        timings = time_kernels(shapes, progress=progress)
    found = measured_profile(chip, timings)
    said = f"Efficiencies of {chip.name}, measured; a copy moves {timings.stream_bytes_s / 1e9:,.0f} GB/s"
    console().print(fact_table(said, found, ("efficiency", *(["link"] if timings.all_reduce else []))))
    if out is not None:
        out.write_text(profile_yaml(found, f"Measured by infersim measure on {timings.device}"), encoding="utf-8")
        say(f"wrote {out}")


def chip_of(device: str) -> "Hardware":
    """The catalogue's chip for a driver's name such as NVIDIA H100 80GB HBM3; StudyError if none or several fit."""
    from infersim.spec import catalogue
    from infersim.studies.errors import StudyError

    words = device.lower().replace("-", " ").replace("sxm4", "sxm").split()
    fits = [name for name in catalogue.hardware_names() if name.split("-")[0] in words and _memory_fits(name, words)]
    forms = [name for name in fits if _form(name) and set(_form(name)) <= set(words)]
    forms = forms or [name for name in fits if not _form(name)] or [name for name in fits if _form(name) == ["sxm"]]
    if len(forms) != 1:
        found = f"{len(forms)} chips of the catalogue" if forms else "no chip of the catalogue"
        raise StudyError(f"{found} may be {device}; give --hardware NAME", "measure")
    return catalogue.hardware(forms[0])


def _memory_fits(name: str, words: list[str]) -> bool:
    """Whether the name's memory size, if it has one, is among the words."""
    return all(part in words for part in name.split("-") if _is_size(part))


def _form(name: str) -> list[str]:
    """What a name says beside the chip and its memory: sxm, pcie, nvl."""
    return [part for part in name.split("-")[1:] if not _is_size(part)]


def _is_size(part: str) -> bool:
    return part.endswith("gb") and part[0].isdigit()
