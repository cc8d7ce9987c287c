"""The guard: verdicts of now against a committed table, one row a check with a claimed value.

A check whose answer turned within the spreads when the table was written may turn again; any other that turns is a
flip, and so is one that came or went. Not here: how verdicts come about (`verdict.py`).
"""

from pathlib import Path

import pandas as pd

from infersim.studies.claims.settle import Settled
from infersim.studies.errors import StudyError

KEY = ["claim", "when", "what"]
COLUMNS = [*KEY, "value", "unit", "claimed", "holds", "sure", "verdict"]


def table(settled: Settled) -> pd.DataFrame:
    """What is committed: each check with a claimed value, and its claim's verdict; values to three digits."""
    verdicts = settled.claims.set_index("claim")["verdict"]
    rows = settled.checks[settled.checks["claimed"] != ""].copy()
    rows["value"] = [float(f"{value:.3g}") for value in rows["value"]]
    return rows.assign(verdict=rows["claim"].map(verdicts))[COLUMNS].reset_index(drop=True)


def write(settled: Settled, file: Path) -> None:
    """Write the table to be committed."""
    table(settled).to_csv(file, index=False, lineterminator="\n")


def read(file: Path) -> pd.DataFrame:
    """A committed table. Raises StudyError for a file that is none."""
    try:
        found = pd.read_csv(file, keep_default_na=False, na_values={"value": [""]})
    except (OSError, ValueError) as error:
        raise StudyError(f"cannot read it: {error}; write it with --update", str(file)) from None
    if list(found.columns) != COLUMNS:
        raise StudyError(f"its columns are not {', '.join(COLUMNS)}; write it with --update", str(file))
    return found


def flips(settled: Settled, committed: pd.DataFrame) -> list[str]:
    """One line for each check of the settled claims that turned, came or went; empty when nothing did."""
    mine = table(settled)
    theirs = committed[committed["claim"].isin(settled.claims["claim"])]
    now, then = ({tuple(row[key] for key in KEY): row for row in rows.to_dict("records")} for rows in (mine, theirs))
    told = [f"claim {key[0]}: {key[1]}: {key[2]}: is not in the table" for key in now if key not in then]
    told += [f"claim {key[0]}: {key[1]}: {key[2]}: is in the table alone" for key in then if key not in now]
    for key in now.keys() & then.keys():
        new, old = now[key], then[key]
        if bool(new["holds"]) != bool(old["holds"]) and bool(old["sure"]):
            word = "holds now" if new["holds"] else "holds no longer"
            told.append(
                f"claim {key[0]}: {key[1]}: {key[2]}: {word}: {new['value']:g} {new['unit']}, was {old['value']:g} "
                f"(claimed {new['claimed']})"
            )
    return sorted(told)
