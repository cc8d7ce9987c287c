"""The Azure formats: the published statistics of the real files, and files with every kind of fault."""

import gzip
import os
import pickle
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from infersim.workload.formats import azure, format_of
from infersim.workload.replay import checked
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.traces import TraceError
from tests.workload.counts import bin_counts, dispersion

SHARED = Path(os.environ.get("INFERSIM_SHARED") or Path(__file__).parents[3] / "shared") / "traces" / "azure2023"
real = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real traces are not here: no {SHARED} (set INFERSIM_SHARED)"
)

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
GOOD = f"""{HEADER}
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-12-31 00:00:00.0000000,1,7
"""


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "trace.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read_azure(path: Path) -> Requests:
    """The whole file, as a replay would have it."""
    return joined(checked(path, azure.FORMATS[0]))


# ---------------------------------------------------------------- the real files: figures of shared/traces/README.md


def length_statistics(tokens: np.ndarray) -> list[float]:
    """Mean, p50, p90, p99, maximum."""
    return [tokens.mean(), *np.percentile(tokens, [50, 90, 99]), tokens.max()]


@real
@pytest.mark.parametrize(
    ("name", "rows", "span", "rate", "minute", "second", "iod", "cv", "inputs", "outputs", "sums", "spearman"),
    [
        (
            "code", 8_819, 3435.9, 2.567, (151.3, 632, 4.18), (67, 26.1), (13.2, 71.9, 167), 13.15,
            [2047.8, 1469, 5188, 7436, 7437], [27.9, 13, 55, 251.5, 1899], (18_059_974, 245_896), -0.021,
        ),
        (
            "conv", 19_366, 3501.7, 5.530, (333.3, 507, 1.52), (16, 2.89), (1.39, 3.87, 16.4), 1.094,
            [1154.7, 1020, 2735, 4142, 14_050], [211.1, 129, 424, 601, 1000], (22_361_870, 4_088_665), 0.073,
        ),
    ],
)  # fmt: skip
def test_published_statistics(name, rows, span, rate, minute, second, iod, cv, inputs, outputs, sums, spearman):
    trace = read_azure(SHARED / f"AzureLLMInferenceTrace_{name}.csv")
    times, last = trace.arrival_s, trace.arrival_s[-1]
    assert times.size == trace.input_tokens.size == trace.output_tokens.size == rows
    assert times[0] == 0
    assert last == pytest.approx(span, abs=0.05)
    assert rows / last == pytest.approx(rate, abs=5e-4)
    per_minute, per_second = (bin_counts(times, window, last) for window in (60, 1))
    assert per_minute.mean() == pytest.approx(minute[0], abs=0.05)
    assert per_minute.max() == minute[1]
    assert per_minute.max() / per_minute.mean() == pytest.approx(minute[2], abs=0.005)
    assert per_second.max() == second[0]
    assert per_second.max() / per_second.mean() == pytest.approx(second[1], abs=0.05 if second[1] > 10 else 0.005)
    for window, published in zip((1, 10, 60), iod, strict=True):
        assert float(f"{dispersion(times, window, last):.3g}") == published
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, abs=5e-3 if cv > 2 else 5e-4)
    assert length_statistics(trace.input_tokens) == pytest.approx(inputs, abs=0.5)
    assert length_statistics(trace.output_tokens) == pytest.approx(outputs, abs=0.05)
    assert (trace.input_tokens.sum(), trace.output_tokens.sum()) == sums
    assert stats.spearmanr(trace.input_tokens, trace.output_tokens).statistic == pytest.approx(spearman, abs=5e-4)


@real
def test_the_code_trace_is_on_off():
    """45 gaps longer than 10 s, the longest 217 s, hold 69 % of the hour; gaps p50 0.064 s, p99 2.21 s."""
    times = read_azure(SHARED / "AzureLLMInferenceTrace_code.csv").arrival_s
    gaps = np.diff(times)
    long = gaps[gaps > 10]
    assert long.size == 45
    assert long.max() == pytest.approx(217, abs=0.5)
    assert long.sum() / times[-1] == pytest.approx(0.69, abs=0.005)
    assert np.percentile(gaps, [50, 99]) == pytest.approx([0.064, 2.21], rel=0.01)


# ---------------------------------------------------------------- what is accepted


ISO = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.(\d{1,7}))?(Z|\+00:00)?", re.ASCII)


def naive(content: bytes) -> tuple[list[float], list[int], list[int]] | set[int]:
    """The same format read with datetime and int, one line at a time; or the lines that are at fault."""
    lines = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").split(b"\n")
    names = [name.strip() for name in lines[0].decode("utf-8", "backslashreplace").split(",")]
    if sorted(names) != sorted(HEADER.split(",")):
        return {*range(1, len(lines) + 2)}  # a wrong header, and then nothing is sure
    if len(lines) == 1:
        return {1, 2}
    rows, faults, latest = [], set(), None
    for number, line in enumerate(lines[1:], start=2):
        try:
            fields = dict(zip(names, line.removesuffix(b"\r").decode("ascii").split(","), strict=True))
            stamp, *tokens = (fields[name] for name in HEADER.split(","))
            match = ISO.fullmatch(stamp)
            if not match or not all(token.isdigit() for token in tokens):
                raise ValueError("not the format")
            since = datetime.strptime(stamp[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S") - datetime(1970, 1, 1)
            ticks = (since.days * 86400 + since.seconds) * 10**7 + int((match[1] or "0").ljust(7, "0"))
            if not all(1 <= int(token) <= 10**9 and len(token) <= 10 for token in tokens):
                raise ValueError("not a token count")
        except ValueError:
            faults.add(number)
            continue
        if latest is not None and ticks < latest:
            faults.add(number)
        latest = ticks
        rows.append((ticks, *map(int, tokens)))
    if faults:
        return faults
    ticks, inputs, outputs = zip(*rows, strict=True)
    seconds = [float(tick - ticks[0]) / 1e7 for tick in ticks]  # whole ticks are exact floats for 28 years
    return seconds, list(inputs), list(outputs)


def same(one: Requests, other: tuple[list[float], list[int], list[int]]) -> bool:
    return (one.arrival_s.tolist(), one.input_tokens.tolist(), one.output_tokens.tolist()) == other


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.rstrip("\n"),
        GOOD + "\n\r\n\n",
        "\n".join(",".join(line.split(",")[::-1]) for line in GOOD.splitlines()),
    ],
    ids=["plain", "crlf", "bom", "no-final-newline", "blank-lines-at-the-end", "columns-reversed"],
)
def test_harmless_variants_give_the_same(written, content):
    trace = read_azure(written(content))
    assert trace.arrival_s.tolist() == [0.0, 4.314579, 3822253.31941]
    assert trace.input_tokens.tolist() == [374, 396, 1]
    assert trace.output_tokens.tolist() == [44, 109, 7]


def test_gzip_is_unpacked_and_recognised(written):
    path = written(gzip.compress(GOOD.encode()))
    assert format_of(path).name == "azure-2023"
    assert read_azure(path).input_tokens.tolist() == [374, 396, 1]


def test_the_week_of_2024_has_a_zone_and_leaves_out_a_fraction_of_zero(written):
    path = written(f"{HEADER}\n2024-05-12 00:00:00+00:00,1452,3\n2024-05-12 00:00:00.009930+00:00,584,3\n")
    assert format_of(path).name == "azure-2024"
    assert read_azure(path).arrival_s.tolist() == [0.0, 0.00993]
    assert azure.midnight(path) == 0


def test_the_multimodal_trace_has_images(written):
    content = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15T12:00:00.269Z,0,770,491\n"
    path = written(content + "2024-10-15T12:00:01.300Z,1,949,126\n")
    assert format_of(path).name == "azure-lmm"
    assert read_azure(path).arrival_s.tolist() == [0.0, 1.031]
    assert azure.midnight(path) == 12 * 3600 + 0.269


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_written_is_read_again(tmp_path, index):
    kind, path = azure.FORMATS[index], tmp_path / "written.csv"
    times = np.array([0.0, 1.0, 1.000001, 3600.5, 9e4])
    kind.write(path, [requests(times, np.arange(1, 6), np.arange(2, 7))])
    assert format_of(path) is kind
    assert same(read_azure(path), (times.tolist(), [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]))


def test_ticks_of_100_ns_survive_at_any_date(written):
    trace = read_azure(written(f"{HEADER}\n9999-12-31 23:59:59.0000001,1,1\n9999-12-31 23:59:59.0000003,1,1\n"))
    assert trace.arrival_s.tolist() == [0.0, 2e-7]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.datetimes(datetime(1, 1, 1)), st.integers(0, 9), st.integers(1, 10**9), st.integers(1, 10**9)),
        min_size=1,
        max_size=30,
    )
)
def test_any_well_formed_file_reads_as_the_naive_reader_reads_it(tmp_path_factory, rows):
    rows.sort()
    stamps = [f"{moment.isoformat(sep=' ', timespec='microseconds')}{tick}" for moment, tick, _, _ in rows]
    lines = [f"{stamp},{row[2]},{row[3]}" for stamp, row in zip(stamps, rows, strict=True)]
    content = "\n".join([HEADER, *lines]).encode()
    path = tmp_path_factory.getbasetemp() / "well_formed.csv"
    path.write_bytes(content)
    expected = naive(content)
    assert isinstance(expected, tuple)
    assert same(read_azure(path), expected)


# ---------------------------------------------------------------- what is refused

ROW = "2023-11-16 18:15:46.6805900,374,44"


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [
        ("", 1, None, "is empty"),
        ("\n\r\n", 1, None, "is empty"),
        (HEADER, 2, None, "no requests"),
        (HEADER + "\r\n\r\n", 2, None, "no requests"),
        (f"TIMESTAMP,ContextTokens\n{ROW}", 1, "GeneratedTokens", "missing.*TIMESTAMP,ContextTokens,GeneratedTokens"),
        (f"{HEADER},Images\n{ROW},1", 1, "Images", "unknown"),
        (f"{HEADER},TIMESTAMP\n{ROW},1", 1, "TIMESTAMP", "there twice"),
        (f"{ROW}\n{ROW}", 1, "TIMESTAMP", "missing"),
        (f"{HEADER}\n{ROW}\nrubbish\n", 3, None, "found 1 fields in 'rubbish'.*has 3"),
        (f"{HEADER}\n{ROW}\n\n{ROW}\n", 3, None, "found 1 fields"),
        (f"{HEADER}\n{ROW},\n", 2, None, "found 4 fields"),
        (f"{HEADER}\n{ROW}\n2023-11-16 18:15:46.6805899,1,1", 3, "TIMESTAMP", "before.*sort the file"),
        (f"{HEADER}\n2023-11-16_18:15:46.6805900,1,1", 2, "TIMESTAMP", "found '2023-11-16_18.*YYYY-MM-DD"),
        (f"{HEADER}\n2023-11-16 18:15:46.,1,1", 2, "TIMESTAMP", "YYYY-MM-DD"),
        (f"{HEADER}\n2023-11-16 18:15:46.68059001,1,1", 2, "TIMESTAMP", "YYYY-MM-DD"),
        (f"{HEADER}\n2024-05-10 00:00:00.009930+02:00,1,1", 2, "TIMESTAMP", "without a zone or in UTC"),
        (f"{HEADER}\n2023-02-29 18:15:46.6805900,1,1", 2, "TIMESTAMP", "found '2023-02-29"),
        (f"{HEADER}\n0000-01-01 18:15:46.6805900,1,1", 2, "TIMESTAMP", "found '0000-01-01"),
        (f"{HEADER}\n2023-13-01 18:15:46.6805900,1,1", 2, "TIMESTAMP", "found '2023-13-01"),
        (f"{HEADER}\n2023-00-01 18:15:46.6805900,1,1", 2, "TIMESTAMP", "found '2023-00-01"),
        (f"{HEADER}\n2023-11-16 24:15:46.6805900,1,1", 2, "TIMESTAMP", "found '2023-11-16 24"),
        (f"{HEADER}\n2023-11-16 18:60:46.6805900,1,1", 2, "TIMESTAMP", "18:60"),
        (f"{HEADER}\n2023-11-16 18:15:60.6805900,1,1", 2, "TIMESTAMP", "15:60"),
        (f"{HEADER}\n,1,1", 2, "TIMESTAMP", "found ''"),
        (f"{HEADER}\n{ROW}\n{ROW[:-6]}-374,44", 3, "ContextTokens", "found '-374'.*whole number from 0"),
        (f"{HEADER}\n{ROW}\n{ROW[:-2]}0", 3, "GeneratedTokens", "found '0'"),
        (f"{HEADER}\n{ROW[:-2]}4.0", 2, "GeneratedTokens", "found '4.0'"),
        (f"{HEADER}\n{ROW[:-2]}", 2, "GeneratedTokens", "found ''"),
        (f"{HEADER}\n{ROW[:-2]} 44", 2, "GeneratedTokens", "found ' 44'"),
        (f"{HEADER}\n{ROW[:-2]}1000000001", 2, "GeneratedTokens", "to 1000000000"),
        (f"{HEADER}\n{ROW[:-2]}{'9' * 400}", 2, "GeneratedTokens", r"found '9{60}'\.\.\.;"),
        (f"{HEADER}\n{ROW[:-2]}18446744073709551617", 2, "GeneratedTokens", "to 1000000000"),
        (f"{HEADER}\n{ROW[:-2]}٤٤", 2, "GeneratedTokens", "found '٤٤'"),
        (GOOD.encode("utf-16"), 1, None, "UTF-16.*save it as UTF-8"),
        (GOOD.encode("utf-16-le"), 1, "TIMESTAMP", "missing"),
        (f"{HEADER}\n{ROW}\n".encode() + b"caf\xe9,1,1", 3, "TIMESTAMP", r"caf\\\\xe9"),
        (b"PAR1....", 1, None, "Parquet"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(written, content, line, column, says):
    path = written(content)
    with pytest.raises(TraceError, match=says) as caught:
        read_azure(path)
    assert (caught.value.file, caught.value.line, caught.value.column) == (path, line, column)
    assert str(caught.value).startswith(f"{path}, line {line}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_azure(tmp_path / "absent.csv")
    (tmp_path / "torn.csv").write_bytes(gzip.compress(GOOD.encode())[:60])
    with pytest.raises(TraceError, match="gzip-compressed, but damaged"):
        read_azure(tmp_path / "torn.csv")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read_azure(tmp_path)


def test_an_error_survives_pickling(written):
    with pytest.raises(TraceError) as caught:
        read_azure(written(GOOD + "oops"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.line, again.column) == (str(caught.value), caught.value.line, caught.value.column)


# ---------------------------------------------------------------- fuzz: an error with its line, or what naive() reads

REPLACEMENTS = [
    b"", b"0", b"9", b"-", b",", b"\n", b"\r", b"\r\n", b" ", b"\x00", b"\xff", b"\xef\xbb\xbf", b'"', b"1e3",
    b"9" * 25, b"NaN",
]  # fmt: skip

EDITS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 12), st.one_of(st.sampled_from(REPLACEMENTS), st.binary(max_size=4))),
    min_size=1,
    max_size=4,
)


def check_as_naive(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    expected = naive(content)
    if isinstance(expected, tuple):
        assert same(read_azure(path), expected)
    else:
        with pytest.raises(TraceError) as caught:
            read_azure(path)
        assert caught.value.line in expected or content.startswith(b"\x1f\x8b")


@settings(max_examples=400, deadline=None)
@given(edits=EDITS)
@example(edits=[(len(GOOD), 0, b"2023-11-16 18:15:46.6805900,374,44")])
def test_edited_files(tmp_path_factory, edits):
    content = GOOD.encode()
    for at, removed, inserted in edits:
        content = content[:at] + inserted + content[at + removed :]
    check_as_naive(tmp_path_factory.getbasetemp() / "edited.csv", content)


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, len(GOOD)), order=st.permutations(range(4)), start=st.binary(max_size=3))
def test_truncated_and_shuffled_files(tmp_path_factory, cut, order, start):
    lines = GOOD.encode().splitlines(keepends=True)
    content = (start + b"".join(lines[index] for index in order))[:cut]
    check_as_naive(tmp_path_factory.getbasetemp() / "shuffled.csv", content)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=80), headed=st.booleans())
def test_garbage(tmp_path_factory, body, headed):
    content = (HEADER.encode() + b"\n" if headed else b"") + body
    check_as_naive(tmp_path_factory.getbasetemp() / "garbage.csv", content)
