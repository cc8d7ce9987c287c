"""The output of the demo as the README shows it: `make readme` writes it, `test_documents.py` compares it."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def demo() -> str:
    """What `make demo` prints, without blanks at the ends of lines."""
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "infersim run" in line)
    arguments = recipe.partition("infersim ")[2].split()
    with tempfile.TemporaryDirectory() as elsewhere:
        code = "from infersim.cli import main; main()"
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}", *arguments]
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()) + "\n"


def shown() -> str:
    """What the README says that it prints."""
    return README.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]


if __name__ == "__main__":
    README.write_text(README.read_text(encoding="utf-8").replace(shown(), demo()), encoding="utf-8")
