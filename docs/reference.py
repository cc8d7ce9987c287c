"""The API reference: one HTML page a module, from the docstrings. `make docs` writes it into site/.

python docs/reference.py site
"""

import pkgutil
import sys
from pathlib import Path

import pdoc

import infersim

LEFT_OUT = ("cli", "__main__", "_shipped")
"""What has no readers here: commands, of which the README and --help tell."""


def modules() -> list[str]:
    """The package and its rooms; each stands for everything in it."""
    rooms = sorted(
        room.name for room in pkgutil.iter_modules(infersim.__path__) if room.name not in (*LEFT_OUT, *infersim.__all__)
    )
    return ["infersim", *(f"infersim.{room}" for room in rooms), "!infersim.dataplane.jit"]


def build(site: Path) -> None:
    """Write the pages. The public names of `infersim` are found when they are first used, so they are used first."""
    for name in infersim.__all__:
        setattr(infersim, name, getattr(infersim, name))
    pdoc.render.configure(docformat="numpy", show_source=False)
    pdoc.pdoc(*modules(), output_directory=site)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
