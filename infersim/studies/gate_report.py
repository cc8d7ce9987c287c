"""How a check is told: plain text, JUnit XML, annotations of GitHub, and a Markdown summary with a small plot.

Not here: what moved (`regression.py`).
"""

from xml.etree import ElementTree

from infersim.studies.baseline import TERMS
from infersim.studies.regression import Comparison, Report

PLOTTED = ("cost.usd_per_million_output_tokens", "latency.ttft_s.p99")
"""Columns whose curves the summary draws, before and after."""
TOLD = 6
"""Moves of one load that a summary spells out."""


def as_text(report: Report) -> str:
    """One line a scenario, and below it what moved at which load, and why."""
    lines = [f"note: {note}" for note in report.notes]
    for comparison in report.comparisons:
        lines.append(f"{'MOVED' if comparison.moves else 'same'}  {comparison.name}{_requests(comparison)}")
        for load in comparison.baseline.loads:
            moves = [move for move in comparison.moves if move.load == load]
            if not moves:
                continue
            cause = comparison.cause(load)
            lines.append(f"  at {load:g} x the scenario's rates{': ' + cause if cause else ''}")
            lines += [f"    {move}" for move in moves[:TOLD]]
            lines += [f"    ... and {len(moves) - TOLD} more"] if len(moves) > TOLD else []
    lines += [f"wrote {path}" for path in report.updated]
    return "\n".join(lines)


def _requests(comparison: Comparison) -> str:
    return "" if comparison.same_requests else " (other requests than the baseline's: wide tolerances)"


def as_junit(report: Report) -> str:
    """One test case for each scenario and load."""
    cases = [(comparison, load) for comparison in report.comparisons for load in comparison.baseline.loads]
    broken = {(move.scenario, move.load) for move in report.moves}
    suite = ElementTree.Element(
        "testsuite", name="infersim cost curves", tests=str(len(cases)), failures=str(len(broken)), errors="0"
    )
    for comparison, load in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=comparison.name, name=f"load {load:g}")
        moves = [move for move in comparison.moves if move.load == load]
        if moves:
            failure = ElementTree.SubElement(case, "failure", message=f"{len(moves)} numbers moved: {moves[0]}")
            failure.text = "\n".join([comparison.cause(load), *map(str, moves)]).strip()
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def as_annotations(report: Report) -> str:
    """Workflow commands of GitHub Actions: an error for each scenario and load that moved."""
    lines = []
    for comparison in report.comparisons:
        for load in sorted({move.load for move in comparison.moves}):
            moves = [move for move in comparison.moves if move.load == load]
            message = "; ".join([*filter(None, [comparison.cause(load)]), *map(str, moves[:TOLD])])
            lines.append(f"::error title={_escaped(f'{comparison.name} at load {load:g}', True)}::{_escaped(message)}")
    return "\n".join(lines)


def _escaped(text: str, inside: bool = False) -> str:
    """As workflow commands want it; `inside` a property, where colons and commas end it."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text


def as_markdown(report: Report) -> str:
    """A summary: a table of what moved, and for scenarios that did, curves before and after as Mermaid charts."""
    verdict = "no cost curve moved" if report.passed else f"{len(report.moves)} numbers moved"
    lines = [f"### infersim: {verdict}", "", *(f"- {note}" for note in report.notes)]
    for comparison in report.comparisons:
        lines += ["", f"**{comparison.name}**: {'moved' if comparison.moves else 'same'}{_requests(comparison)}"]
        if comparison.moves:
            lines += [
                "",
                "| load | what | term | before | after | change | tolerance |",
                "|---|---|---|---|---|---|---|",
            ]
            lines += [
                f"| {move.load:g} | {move.column} | {move.term} | {move.before:.4g} | {move.after:.4g} "
                f"| {move.change:+.1%} | {move.tolerance:.1%} |"
                for move in comparison.moves
            ]
            causes = [(load, comparison.cause(load)) for load in comparison.baseline.loads]
            lines += ["", *(f"- at load {load:g}: {cause}" for load, cause in causes if cause)]
            lines += [part for column in PLOTTED for part in _chart(comparison, column)]
    return "\n".join(lines) + "\n"


def _chart(comparison: Comparison, column: str) -> list[str]:
    """One curve before and after."""
    here = comparison.cells[comparison.cells["column"] == column]
    if here.empty or here[["before", "after"]].isna().any(axis=None):
        return []
    loads = ", ".join(f'"{load:g}"' for load in here["load"])
    series = [f"  line [{', '.join(f'{value:.6g}' for value in here[name])}]" for name in ("before", "after")]
    title = f"{comparison.name}: {column} ({TERMS[column]}), before and after"
    return ["", "```mermaid", "xychart-beta", f'  title "{title}"', f"  x-axis [{loads}]", *series, "```"]
