"""The run directory: written whole or not at all, read back only if it is what was written.

    summary.json  requests.parquet  replicas.parquet  timeline.parquet  events.parquet  scenario.yaml  plots/*.png
    on request report.html and exports (`export.py`)
    manifest.json   size and SHA-256 of each of them, and which share of the requests has a row

Nothing in it depends on the clock, the machine or the place: the same run gives the same bytes. The manifest is a file
of its own so that an edited summary is noticed too.

Not here: what the files hold (`frames.py`, `summary.py`). Read `plots.py` next.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infersim.results.run import Run, rows_share

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "infersim run directory, version 2"
"""First entry of the manifest; a directory without it is not ours."""
MANIFEST = "manifest.json"
FRAMES = ("requests", "replicas", "timeline", "events")
SOURCES = frozenset({"summary.json", "scenario.yaml", *(f"{name}.parquet" for name in FRAMES)})
"""What a run is read from; plots, report and exports are made of it, and may be deleted."""


class OutputError(Exception):
    """A run directory cannot be written; the message says why and what would do."""


class RunDirectoryError(Exception):
    """A run directory cannot be read; the message names the file."""


@dataclass(frozen=True)
class SavedRun:
    """A run directory read back: the same frames and summary as the `Result` that wrote it (NaN is None)."""

    summary: dict[str, Any]
    requests: "pd.DataFrame"
    replicas: "pd.DataFrame"
    timeline: "pd.DataFrame"
    events: "pd.DataFrame"
    scenario_yaml: str


def check_writable(directory: str | Path) -> Path:
    """Say whether a run directory can be written here, before anything is simulated; the path with links resolved.

    It must be absent, empty, or a run directory that holds nothing but what infersim wrote, and its parent (or the
    nearest that exists) must take new files. Raises OutputError.
    """
    given, target = Path(directory), Path(directory).resolve()
    if target.exists():
        if not target.is_dir():
            raise OutputError(f"{given} is a file; name a directory that is new, empty, or an earlier run")
        if Path.cwd().resolve().is_relative_to(target):
            raise OutputError(f"{given} is the directory you are in; name one inside it, such as {given / 'run'}")
        if target.is_mount():
            raise OutputError(f"{given} is a mount point and cannot be replaced; name one inside it: {given / 'run'}")
        foreign = _foreign_files(target)
        if foreign:
            raise OutputError(
                f"{given} holds {foreign[0]!r}, which no infersim run wrote; name a new or empty directory, "
                "or move what is there"
            )
    parent = next(path for path in target.parents if path.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    except OSError as error:
        raise OutputError(f"cannot write {given}: {parent}: {error.strerror}; name another directory") from None
    return target


def _foreign_files(directory: Path) -> list[str]:
    """Files that are not listed in the directory's manifest, sorted; all of them when there is no manifest of ours."""
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    try:
        ours = {*_read_manifest(directory), MANIFEST}
    except RunDirectoryError:
        ours = set()
    return sorted(present - ours)


def write_run(
    directory: str | Path,
    summary: Mapping[str, Any],
    frames: "Mapping[str, pd.DataFrame]",
    scenario_yaml: str,
    plots: Mapping[str, bytes],
    extras: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a run directory in one stroke, in place of an earlier run if there is one; its path.

    `frames` holds one frame for each of FRAMES, `plots` PNG files by name, `extras` the report and exports likewise.
    Everything is written to a hidden directory beside the target, which is then renamed: an interruption or an error
    leaves what was there before.
    Raises OutputError.
    """
    target = check_writable(directory)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as nearby:
            new, old = Path(nearby) / "new", Path(nearby) / "old"
            new.mkdir()
            _write_files(new, summary, frames, scenario_yaml, plots, extras or {})
            _swap(new, target, old)
    except OSError as error:
        raise OutputError(f"cannot write {directory}: {error.strerror}; name another directory") from error
    return target


def _write_files(
    directory: Path,
    summary: Mapping[str, Any],
    frames: "Mapping[str, pd.DataFrame]",
    scenario_yaml: str,
    plots: Mapping[str, bytes],
    extras: Mapping[str, bytes],
) -> None:
    """All files of a run, the manifest last."""
    for name in FRAMES:
        write_parquet(frames[name], directory / f"{name}.parquet")
    (directory / "summary.json").write_text(to_json(summary), encoding="utf-8")
    (directory / "scenario.yaml").write_text(scenario_yaml, encoding="utf-8")
    if plots:
        (directory / "plots").mkdir()
    for name, png in plots.items():
        (directory / "plots" / name).write_bytes(png)
    for name, data in extras.items():
        (directory / name).write_bytes(data)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "requests": {
            "rows_share": rows_share(summary),
            "percentile_error": summary["requests"].get("percentile_error", 0.0),
        },
        "files": {path.relative_to(directory).as_posix(): _fingerprint(path) for path in files},
    }
    (directory / MANIFEST).write_text(to_json(manifest), encoding="utf-8")


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` where `target` is; what was there goes to `old`, and comes back if anything interrupts."""
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write a frame so that equal frames give equal bytes, and pandas reads it back with its categories."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    words = [field.name for field in table.schema if not pa.types.is_primitive(field.type)]
    pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=words, version="2.6")


def to_json(value: Any) -> str:
    """Deterministic JSON: keys in their order, numbers in full, NaN and infinities as null."""
    return json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    """The same, with None for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def read_run(directory: str | Path) -> SavedRun:
    """Read a run directory back. Raises RunDirectoryError when a file is missing, truncated or was changed.

    Only plots, report and exports may be missing: nothing is read from them.
    """
    import pandas as pd

    folder = Path(directory)
    for name, expected in _read_manifest(folder).items():
        if name in SOURCES or (folder / name).exists():
            _check(folder / name, expected)
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in FRAMES}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return SavedRun(summary, **frames, scenario_yaml=(folder / "scenario.yaml").read_text(encoding="utf-8"))


def opened(run: Run | str | Path) -> Run:
    """The run itself, or the run directory at this path read back; raises RunDirectoryError."""
    return read_run(run) if isinstance(run, str | Path) else run


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> size and SHA-256 of every file of the run."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise RunDirectoryError(f"{folder} is not a directory; give the directory that `infersim run` wrote")
    if not path.is_file():
        raise RunDirectoryError(
            f"{folder} has no {MANIFEST}, so it is not a whole run directory; run the scenario again"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise RunDirectoryError(
                f"{path} says {manifest['format']!r}, and this infersim reads {FORMAT!r}; run the scenario again"
            )
        files: dict[str, dict[str, Any]] = manifest["files"]
        if missing := SOURCES - files.keys():
            raise KeyError(min(missing))
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} is damaged ({error}); run the scenario again") from None
    return files


def _check(path: Path, expected: Mapping[str, Any]) -> None:
    """Raise RunDirectoryError unless the file is what the manifest says."""
    again = "run the scenario again"
    if not path.is_file():
        raise RunDirectoryError(f"{path} is missing; {again}")
    found = _fingerprint(path)
    if found["bytes"] < expected["bytes"]:
        raise RunDirectoryError(f"{path} is truncated: {found['bytes']} of {expected['bytes']} bytes; {again}")
    if found != expected:
        raise RunDirectoryError(f"{path} was changed after the run (its SHA-256 is not the manifest's); {again}")
