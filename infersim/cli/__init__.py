"""The command line: arguments in, tables out, no logic. Everything here can be had from Python without it.

Start with `app.py`, which lists the commands; each has a file of its own.
"""

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 a bug, 2 a problem with the input, 130 interrupted."""
    try:
        from infersim.cli.app import app

        app(prog_name="infersim")
    except KeyboardInterrupt:  # while importing; failure.py answers once a command has begun
        print("interrupted", file=sys.stderr)
        sys.exit(130)
