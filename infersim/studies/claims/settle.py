"""Many claims at once: every case of every claim in processes, then the verdicts, the table and its files.

    settle().save("runs/claims")    claims.csv (one row a claim), checks.csv (one a number), claims.md, claims.json

With `out`, the run behind each number lies in OUT/NN/CASE. Not here: one case (`measure.py`), a verdict
(`verdict.py`), the comparison with a committed table (`flips.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from infersim.results.directory import to_json
from infersim.studies.claims.claim import Claim
from infersim.studies.claims.measure import Measured, Task, measure
from infersim.studies.claims.verdict import judge, shown
from infersim.studies.errors import StudyError
from infersim.studies.tasks import Machines, all_done

REPLICATIONS = 4
"""Runs of a case: one as it stands, the others with other seeds and profiles within their spreads."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Settled:
    """Claims and what became of them."""

    claims: pd.DataFrame
    """One row a claim: claim (number), title, text, source, simulated, verdict, conditions and unless (of `holds if`), short, hinges, estimated
    (graded numbers on which it rests), unsure (checks whose answer changes within the spreads), cannot (cases that
    cannot run, and why)."""
    checks: pd.DataFrame
    """One row a number: claim, when, what, value, low, high (over the replications), runs, unit, claimed, holds, sure,
    cases (the run directories)."""

    def save(self, directory: str | Path) -> Path:
        """Write claims.csv, checks.csv, claims.md and claims.json."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.claims.to_csv(folder / "claims.csv", index=False, lineterminator="\n")
        self.checks.to_csv(folder / "checks.csv", index=False, lineterminator="\n")
        (folder / "claims.md").write_text(self.as_markdown(), encoding="utf-8")
        (folder / "claims.json").write_text(to_json(self.as_dict()), encoding="utf-8")
        return folder

    def as_dict(self) -> dict[str, list[dict]]:
        """Plain values for JSON."""
        return {"claims": self.claims.to_dict("records"), "checks": self.checks.to_dict("records")}

    def numbers(self, claim: int) -> list[str]:
        """What was found of a claim, a line a number."""
        rows = self.checks[self.checks["claim"] == claim].to_dict("records")
        return [_line(row) for row in rows]

    def in_short(self) -> str:
        """A table for people in a hurry: claim, verdict, what came out, and which estimates that rests on."""
        lines = ["| | claim | verdict | in short | estimates behind it |", "|---|---|---|---|---|"]
        for row in self.claims.to_dict("records"):
            cells = (row["title"], row["verdict"], row["short"], estimates(row))
            lines.append(f"| {row['claim']} | " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        return "\n".join(lines) + "\n"

    def as_markdown(self) -> str:
        """The table in short, and the whole: every number, one row a claim."""
        lines = [self.in_short(), "| | claim | result | verdict | hinges on |", "|---|---|---|---|---|"]
        for row in self.claims.to_dict("records"):
            result = "<br>".join(self.numbers(row["claim"]))
            cells = (f"{row['text']} ({row['source']})", result, in_words(row), hinge(row))
            lines.append(f"| {row['claim']} | " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        return "\n".join(lines) + "\n"


def _line(row: dict) -> str:
    """`when: what 1.2x (1.1 to 1.4x; claimed at least 2: no)`."""
    value, unit = shown(row["value"], row["unit"]), row["unit"]
    told = []
    if row["runs"] > 1 and unit != "yes" and row["low"] == row["low"]:
        told.append(f"{shown(row['low'], unit)} to {shown(row['high'], unit)}")
    if row["claimed"]:
        told.append(
            f"claimed {row['claimed']}: {'yes' if row['holds'] else 'no'}{'' if row['sure'] else ', not surely'}"
        )
    head = f"{row['when']}: " if row["when"] else ""
    return f"{head}{row['what']} {value}" + (f" ({'; '.join(told)})" if told else "")


def in_words(row: dict) -> str:
    """A claim's verdict with its conditions."""
    return row["verdict"] + (f" {row['conditions']}; not if {row['unless']}" if row["conditions"] else "")


def estimates(row: dict) -> str:
    """What is estimated of that on which a verdict rests, without the profiles: `efficiency, price`; and if that may turn it."""
    kinds = [
        kind.partition(" ±")[0]
        for owner in row["estimated"].split("; ")
        for kind in owner.partition(": ")[2].split(", ")
    ]
    told = ", ".join(sorted({kind for kind in kinds if kind})) or "none"
    return f"{told}; may turn it" if row["unsure"] else told


def hinge(row: dict) -> str:
    """What a verdict hinges on, estimated numbers included."""
    told = [row["hinges"]]
    told += [f"estimated: {row['estimated']}"] if row["estimated"] else []
    told += [f"turns within the spreads: {row['unsure']}"] if row["unsure"] else []
    return ". ".join(told)


def settle(
    only: Sequence[int] = (),
    *,
    replications: int = REPLICATIONS,
    out: str | Path | None = None,
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Settled:
    """Simulate and judge all claims, or those of these numbers.

    `out`: where the run directories are saved, CASE of replication 0 and CASE~1, CASE~2 ... of those that make the intervals; these
    have other seeds, and profiles within their spreads, whose numbers stand in their provenance. Raises StudyError for unknown numbers, and when a case
    breaks off; a case that cannot run for want of memory is a result.
    """
    if replications < 1:
        raise StudyError(f"found {replications} replications; ask for at least 1", "--replications")
    claims = _chosen(only)
    tasks = [
        (claim, Task(case, number, _place(out, claim, case.name, number)))
        for claim in claims
        for case in claim.cases
        for number in range(replications if case.spread else 1)
    ]

    def failed(index: int, why: str) -> StudyError:
        claim, task = tasks[index]
        return StudyError(f"claim {claim.number}, case {task.case.name}, replication {task.replication}: {why}")

    found = all_done(measure, [task for _, task in tasks], Machines(workers), failed, progress)
    judged = [judge(claim, _by_replication(claim, tasks, found, replications)) for claim in claims]
    return Settled(pd.DataFrame([row for row, _ in judged]), pd.DataFrame([row for _, rows in judged for row in rows]))


def _chosen(only: Sequence[int]) -> list[Claim]:
    from infersim.studies.claims import CLAIMS

    known = {claim.number: claim for claim in CLAIMS}
    for number in only:
        if number not in known:
            raise StudyError(f"there is no claim {number}; they go from {min(known)} to {max(known)}", "--only")
    return [claim for claim in CLAIMS if not only or claim.number in only]


def _place(out: str | Path | None, claim: Claim, case: str, replication: int) -> Path | None:
    if out is None:
        return None
    name = case.replace(" ", "-").replace("/", "-") + (f"~{replication}" if replication else "")
    return Path(out) / f"{claim.number:02d}" / name


def _by_replication(
    claim: Claim, tasks: Sequence[tuple[Claim, Task]], found: Sequence[Measured], replications: int
) -> list[dict[str, Measured]]:
    """The cases of a claim in each replication; one that is run once stands in all of them."""
    mine = {
        (task.case.name, task.replication): found[index]
        for index, (owner, task) in enumerate(tasks)
        if owner.number == claim.number
    }
    count = replications if any(case.spread for case in claim.cases) else 1
    return [
        {case.name: mine[case.name, number if case.spread else 0] for case in claim.cases} for number in range(count)
    ]
