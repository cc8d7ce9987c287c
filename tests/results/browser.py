"""A real browser without a window, for pages: Debian's chromium (`apt-get install chromium`)."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (apt-get install chromium)")


def browse(page: Path, *options: str) -> tuple[str, str]:
    """Open a page, let its scripts run, and return what the command printed and what the console said."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
         "--window-size=1200,2400", "--virtual-time-budget=20000", f"--user-data-dir={page.parent / 'browser'}",
         "--host-resolver-rules=MAP * ~NOTFOUND", *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console
