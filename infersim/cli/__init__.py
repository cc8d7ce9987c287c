"""The command line: arguments in, tables out, no logic. Everything here can be had from Python without it.

Start with `app.py`, which lists the commands; each has a file of its own.
"""

import gc
import sys

PROBLEM, INTERRUPTED = 2, 130
"""Exit codes: something in the input is wrong; Ctrl-C."""

ON_INTERRUPT = "interrupted; nothing half-written is left"


def main() -> None:
    """Run the command line and exit: 0 done, 1 a bug, 2 a problem with the input, 130 interrupted."""
    gc.set_threshold(100_000, 50, 50)  # imports leave few cycles: to look for them as often as usual takes 0.15 s
    try:
        from infersim.cli.app import app

        app(prog_name="infersim")
    except KeyboardInterrupt:  # while importing; failure.py answers once a command has begun
        print(ON_INTERRUPT, file=sys.stderr)
        sys.exit(INTERRUPTED)
