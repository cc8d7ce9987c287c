"""The terminal table and the spelling of numbers."""

import io
import json

import pytest
from rich.console import Console

from infersim.results import units
from infersim.results.directory import to_json
from infersim.results.result import Result
from infersim.results.table import print_summary
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, large_run, pool_record, small_run


def printed(result: Result, **options: object) -> str:
    file = io.StringIO()
    print_summary(result.summary, Console(file=file, **options))  # type: ignore[arg-type]
    return file.getvalue()


def test_says_what_matters_in_plain_text() -> None:
    text = printed(Result(small_run(Slo(ttft_p99_s=1.0, tpot_p99_s=2.0))))
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 100
    for piece in ("4 of 5 finished, 1 rejected, 1 preemption;", "0.400 requests/s", "goodput 0.300", "2 x imaginary",
                  "$0.0330: $0.00800 busy, $0.0190 idle, $0.00600 cold start", "1.46 Wh", "1 request was"):  # fmt: skip
        assert piece in text
    ttft, tpot = (
        next(line for line in text.splitlines() if line.strip().startswith(name)) for name in ("TTFT", "TPOT")
    )
    assert ttft.split()[-3:] == ["1.00", "s", "MISS"]
    assert tpot.split()[-3:] == ["2.00", "s", "pass"]


def test_nothing_is_cut_off_at_80_columns() -> None:
    text = printed(Result(large_run(5000, slo=Slo(ttft_p99_s=1.5, tpot_p99_s=0.05))), width=80, force_terminal=True)
    assert "…" not in text
    assert "MISS" in text


def test_colour_only_on_a_terminal() -> None:
    assert "\x1b" in printed(Result(large_run(50)), force_terminal=True, color_system="truecolor")


@pytest.mark.parametrize("requests", [0, slice(3, 4), slice(2, 3)], ids=["none", "rejected", "single token"])
def test_runs_with_little_to_say(requests: int | slice) -> None:
    text = printed(Result(edited(small_run(Slo(tpot_p99_s=1.0)), requests=requests)))
    assert "nan" not in text
    assert "None" not in text


def test_a_summary_that_was_read_back_prints_the_same() -> None:
    result = Result(edited(small_run(), requests=slice(2, 3)))
    file = io.StringIO()
    print_summary(json.loads(to_json(result.summary)), Console(file=file))
    assert file.getvalue() == printed(result)


def test_names_are_text_and_never_markup() -> None:
    result = Result(edited(small_run(), pools=[pool_record("[bold]<script>:smile:")]))
    assert "[bold]<script>:smile:" in "".join(line.split(" 2 x")[0].strip() for line in printed(result).splitlines())
    assert "<script>" not in result._repr_html_()


def test_short_forms() -> None:
    result = Result(small_run(Slo(ttft_p99_s=1.0)))
    assert str(result).splitlines()[0] == "by-hand"
    assert "4 of 5" in str(result)
    assert "<td" in result._repr_html_()
    assert "4 of 5" in result._repr_html_()


@pytest.mark.parametrize(
    ("spell", "value", "expected"),
    [
        (units.seconds, 0.0004123, "412 us"),
        (units.seconds, 0.02345, "23.4 ms"),
        (units.seconds, 1.0, "1.00 s"),
        (units.seconds, 1234.5, "1,234 s"),
        (units.seconds, 0.9999, "1.00 s"),
        (units.seconds, 0.0009999, "1.00 ms"),
        (units.seconds, 0.0, "0 s"),
        (units.seconds, float("nan"), "-"),
        (units.seconds, None, "-"),
        (units.clock, 7200.0, "2.00 h"),
        (units.usd, 1234.567, "$1,234.57"),
        (units.usd, 0.0123456, "$0.0123"),
        (units.usd, 0.9999, "$1.00"),
        (units.usd, 0.0, "$0.00"),
        (units.energy, 3600.0, "1.00 Wh"),
        (units.energy, 3.6e9, "1.00 MWh"),
        (units.watts, 5600.0, "5.60 kW"),
        (units.percent, 0.99234, "99.2 %"),
        (units.percent, 1.0, "100 %"),
        (units.percent, 0.99999, "100 %"),
        (units.digits, 999.96, "1,000"),
        (units.digits, 9.996, "10.0"),
        (units.digits, 0.00123456, "0.00123"),
        (units.digits, 1234567.0, "1,234,567"),
        (units.compact, 120000.0, "120k"),
    ],
)
def test_spelling(spell, value: float | None, expected: str) -> None:  # type: ignore[no-untyped-def]
    assert spell(value) == expected
