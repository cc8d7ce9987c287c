"""What commands print, as the README shows it: `make readme` brings it up to date, `test_documents.py` compares.

A block of language `console` holds a command after `$ ` and then what it prints, without blanks at the ends of lines. One
that replays a recorded trace is left alone where INFERSIM_TRACES does not say where traces are. Tables of techniques are
written too (`techniques.py`), and the claims in short, from `docs/claims.md`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import techniques

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CLAIMS = re.compile(r"<!-- claims -->\n.*?<!-- end of claims -->\n", re.DOTALL)
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
PICTURES = {
    "shootout/shootout.png": ROOT / "docs/pictures/shootout.png",
    "arrivals.png": ROOT / "docs/pictures/arrivals.png",
}
"""What commands write, and where the README shows it."""


def has_traces(command: str) -> bool:
    """Whether the traces that a command replays, if any, can be found."""
    return "azure" not in command or bool(os.environ.get("INFERSIM_TRACES"))


def shown() -> dict[str, str]:
    """What the README says that each command prints."""
    return {block["command"]: block["output"] for block in BLOCK.finditer(README.read_text(encoding="utf-8"))}


def printed(command: str, keep_pictures: bool = False) -> str:
    """What a command prints, run in an empty directory; `make X` stands for the infersim command of its recipe."""
    if command.startswith("make "):
        recipes = (ROOT / "Makefile").read_text(encoding="utf-8").partition(f"\n{command[5:]}:")[2]
        command = next(line.partition("$(BIN)/")[2] for line in recipes.splitlines() if "$(BIN)/infersim" in line)
    with tempfile.TemporaryDirectory() as elsewhere:
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from infersim.cli import main; main()"
        call = [sys.executable, "-c", code, *shlex.split(command)[1:]]
        done = subprocess.run(call, cwd=elsewhere, capture_output=True, text=True, check=True)
        for written, picture in PICTURES.items():
            if keep_pictures and (Path(elsewhere) / written).exists():
                shutil.copy(Path(elsewhere) / written, picture)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()).strip("\n") + "\n"


def with_claims(text: str) -> str:
    """The README's text with the table of claims in short that `infersim claims` wrote."""
    table = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").partition("\n\n")[0]
    return CLAIMS.sub(lambda _: f"<!-- claims -->\n{table}\n<!-- end of claims -->\n", text)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    wanted = sys.argv[1:]
    for command, output in shown().items():
        if has_traces(command) and (not wanted or any(word in command for word in wanted)):
            now = printed(command, keep_pictures=True)
            text = text.replace(f"$ {command}\n{output}```", f"$ {command}\n{now}```")
    if not wanted or "techniques" in wanted:
        text = techniques.renewed(text)
    if not wanted or "claims" in wanted:
        text = with_claims(text)
    README.write_text(text, encoding="utf-8")
