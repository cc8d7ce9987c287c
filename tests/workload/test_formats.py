"""Every trace format: a small file in the published schema, what it means, its faults, writing it, and fuzz."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.spec.load import load_scenario
from infersim.workload.formats import FORMATS, block_tokens_of, format_named, format_of
from infersim.workload.prompts import reblocked
from infersim.workload.replay import checked
from infersim.workload.requests import Requests, joined, requests
from infersim.workload.traces import TraceError, TraceWarning
from infersim.workload.write import write_trace


def lines(*objects: dict) -> str:
    return "".join(json.dumps(item) + "\n" for item in objects)


def rag(time: str, session: str, **parts: list[int]) -> dict:
    kinds = ("sys_prompt", "passages_ids", "history", "web_search", "user_input")
    ids = {kind: parts.get(kind, []) for kind in kinds}
    return {"timestamp": time, "input_length": 90, "output_length": 9, "hash_ids": ids, "session_id": session}


def call(time: float, tokens: int, ids: list[int], **more) -> dict:
    return {"t": time, "type": "s", "model": "m", "in": tokens, "out": 7, "hash_ids": ids, **more}


def recording(*calls: dict) -> dict:
    return {"id": "trace_1", "models": ["m"], "block_size": 64, "hash_id_scope": "local", "tool_tokens": 1,
            "system_tokens": 2, "requests": list(calls), "totals": {}}  # fmt: skip


def aiperf(start: int, prompt: int, output: int, **more) -> dict:
    metrics = {
        "input_sequence_length": {"value": prompt, "unit": "tokens"},
        "output_sequence_length": {"value": output},
    }
    return {"metadata": {"request_start_ns": start, "conversation_id": "c"}, "metrics": metrics, "error": None, **more}


SUBAGENT = {"t": 5.0, "type": "subagent", "agent_id": "a", "requests": [call(1.0, 64, [9])]}
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
FILES = {
    "azure-2023": AZURE + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n",
    "azure-2024": AZURE + "2024-05-12 00:00:00+00:00,1452,3\n2024-05-12 00:00:00.009930+00:00,584,3\n",
    "azure-lmm": "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"
    "2024-10-15T12:00:00.269Z,0,770,491\n2024-10-15T12:00:01.5Z,1,949,126\n",
    "burstgpt": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,API log\n118,GPT-4,417,0,417,API log\n",
    "burstgpt-3": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "19440110.0,aa-1,2.5,GPT-4,10,20,30,Conversation log\n19440110.5,,1,GPT-4,11,21,32,API log\n"
    "19440111.0,aa-1,2.5,GPT-4,40,20,60,Conversation log\n",
    "mooncake": lines(
        {"timestamp": 3000, "input_length": 1025, "output_length": 52, "hash_ids": [0, 1, 2]},
        {"timestamp": 6000, "input_length": 512, "output_length": 26, "hash_ids": [0]},
    ),
    "bailian": lines(
        {"chat_id": 7, "parent_chat_id": -1, "timestamp": 61.5, "input_length": 20, "output_length": 5, "type": "text",
         "turn": 1, "hash_ids": [3, 4]},
        {"chat_id": 9, "parent_chat_id": 7, "timestamp": 62.0, "input_length": 33, "output_length": 5, "type": "text",
         "turn": 2, "hash_ids": [3, 5, 6, 8]},
    ),
    "ragpulse": lines(rag("82", "x", sys_prompt=[1], passages_ids=[2, 3]), rag("93", "y", sys_prompt=[1]),
                      rag("90", "x", sys_prompt=[1], passages_ids=[3, 2])),
    "kv-cache-tester": lines(
        recording(call(0.0, 130, [1, 2]), SUBAGENT, call(9.0, 200, [1, 2, 3])), recording(call(0.0, 63, []))
    ),
    "vidur": "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,374,44\n4.75,396,109\n",
    "lengths": "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n74,918,992,0.08\n290,905,1195,0.3\n",
    "apex": "ContextTokens,GeneratedTokens,RequestID,TotalTokens,StartTimeOffset\n156,67,1f,223,197890289\n"
    "115,390,4f,505,1500203480\n",
    "aiperf": lines(aiperf(10**18, 550, 20), aiperf(10**18 + 250_000_000, 55, 2),
                    aiperf(10**18 + 10**9, 5, 5, error="x")),
    "vllm-bench": json.dumps({"input_lens": [10, 20], "output_lens": [3, 4], "start_times": [12.5, 12.0]}, indent=1),
    "vllm-bench-lengths": json.dumps({"input_lens": [10, 20], "output_lens": [3, 0], "ttfts": [0.1, 0.2]}),
    "csv": "arrival_s,input_tokens,output_tokens,session,tenant,prefix_ids_32\n"
    "1.5,70,5,3,1,11 12\n1.75,31,6,-1,0,\n",
}  # fmt: skip

MEANS = {  # arrival [s], input, output, session, blocks of each request; as a replay has them
    "azure-2023": ([0.0, 4.314579], [374, 396], [44, 109], [-1, -1], [[], []]),
    "azure-2024": ([0.0, 0.00993], [1452, 584], [3, 3], [-1, -1], [[], []]),
    "azure-lmm": ([0.0, 1.231], [770, 949], [491, 126], [-1, -1], [[], []]),
    "burstgpt": ([0.0, 40.0], [472, 1087], [18, 230], [-1, -1], [[], []]),
    "burstgpt-3": ([0.0, 0.5, 1.0], [10, 11, 40], [20, 21, 20], [0, -1, 0], [[], [], []]),
    "mooncake": ([0.0, 3.0], [1025, 512], [52, 26], [-1, -1], [[0, 1, 2], [0]]),
    "bailian": ([0.0, 0.5], [20, 33], [5, 5], [7, 7], [[3, 4], [3, 5, 6]]),
    "ragpulse": ([0.0, 8.0, 11.0], [90, 90, 90], [9, 9, 9], [0, 0, 1], [[], [], []]),
    "kv-cache-tester": ([0.0, 6.0, 9.0, 0.0], [130, 64, 200, 63], [7] * 4, [0, 0, 0, 1], [[1, 2], [9], [1, 2, 3], []]),
    "vidur": ([0.0, 4.25], [374, 396], [44, 109], [-1, -1], [[], []]),
    "apex": ([0.0, 1.302313191], [156, 115], [67, 390], [-1, -1], [[], []]),
    "aiperf": ([0.0, 0.25], [550, 55], [20, 2], [0, 0], [[], []]),
    "vllm-bench": ([0.0, 0.5], [20, 10], [4, 3], [-1, -1], [[], []]),
    "csv": ([0.0, 0.25], [70, 31], [5, 6], [3, -1], [[11, 12], []]),
}
BLOCK_TOKENS = {"mooncake": 512, "bailian": 16, "ragpulse": 16, "kv-cache-tester": 64, "csv": 32}


@pytest.fixture
def written(tmp_path):
    def write(name: str, content: str | bytes | None = None) -> Path:
        path = tmp_path / "file"  # the name of a file says nothing
        content = FILES[name] if content is None else content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def blocks(found: Requests) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.prefixes, np.cumsum(found.prefix_blocks)[:-1])]


def replayed(path: Path) -> Requests:
    return joined(checked(path, format_of(path)))


def as_lists(found: Requests) -> tuple:
    return (found.arrival_s.tolist(), found.input_tokens.tolist(), found.output_tokens.tolist(), found.session.tolist(),
            blocks(found))  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_found_by_its_content(written, name):
    assert format_of(written(name)).name == name
    assert format_of(written(name, gzip.compress(FILES[name].encode()))).name == name
    assert format_of(written(name, "\ufeff" + FILES[name])).name == name


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.filterwarnings("ignore::infersim.workload.traces.TraceWarning")
def test_what_a_file_means(written, name):
    for content in (FILES[name], FILES[name].replace("\n", "\r\n"), "\ufeff" + FILES[name] + "\n\n"):
        path = written(name, content)
        found, expected = as_lists(replayed(path)), MEANS[name]
        assert found[0] == pytest.approx(expected[0], rel=1e-12)
        assert found[1:] == expected[1:]
        assert block_tokens_of(path, format_of(path)) == BLOCK_TOKENS.get(name, 0)


def test_tables_of_lengths_have_no_times(written):
    for name, inputs in (("lengths", [74, 290]), ("vllm-bench-lengths", [10, 20])):
        path = written(name)
        found = joined(format_of(path).read(path))
        assert np.isnan(found.arrival_s).all()
        assert found.input_tokens.tolist() == inputs


def test_failures_are_left_out_and_counted(written):
    for name, count in (("burstgpt", 1), ("aiperf", 1)):
        with pytest.warns(TraceWarning, match=f"{count} rows without tokens are failed requests"):
            replayed(written(name))


def test_a_published_disorder_is_sorted_and_counted(written):
    with pytest.warns(TraceWarning, match="1 rows stand after a later one"):
        replayed(written("ragpulse"))


def test_components_with_lengths_become_blocks(tmp_path):
    (tmp_path / "trace.jsonl").write_text(FILES["ragpulse"])
    keys = {"1_sys_prompt": ("sys_prompt_id", {1: 40}), "2_passages": ("passage_id", {2: 30, 3: 20}),
            "3_history": ("history_id", {}), "4_user_input": ("user_input_id", {}),
            "5_web_search": ("web_search_id", {})}  # fmt: skip
    for name, (key, table) in keys.items():
        content = lines(*({key: number, "token_length": tokens} for number, tokens in table.items())) or "\n{}"
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(content.encode()))
        if not table:
            (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(f'{{"{key}": 0, "token_length": 5}}'.encode()))
    found = joined(format_named("ragpulse").read(tmp_path / "trace.jsonl"))
    first, second, third = blocks(found)
    assert [len(first), len(second), len(third)] == [5, 2, 5]  # whole blocks of 16 in 90, 40 and 90 tokens
    assert first[:2] == second == third[:2]  # 32 of the 40 tokens of the system prompt
    assert not set(first[2:]) & set(third[2:])  # passages in another order


def test_flat_recordings_are_the_nested_ones(written, tmp_path):
    rows = [
        ("one", "", 0, 0.0, "s", 130, 7, [1], [2]), ("one", "", 1, 5.0, "subagent", None, None, [], []),
        ("one", "/agent_001", 2, 1.0, "s", 64, 7, [9], [1]), ("one", "", 3, 9.0, "s", 200, 7, [1, 3], [2, 1]),
        ("two", "", 0, 0.0, "s", 63, 7, [], []),
    ]  # fmt: skip
    names = ("trace", "path", "seq", "t", "type", "input_tokens", "output_tokens", "hash_start", "hash_len")
    table = pyarrow.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    path = tmp_path / "flat"
    pyarrow.parquet.write_table(table, path)
    assert format_of(path).name == "kv-cache-tester-flat"
    assert as_lists(replayed(path)) == as_lists(replayed(written("kv-cache-tester")))


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind.clock != "session"], ids=lambda kind: kind.name)
def test_what_is_written_is_read_again(tmp_path, kind):
    times = np.array([0.0, 1.0, 1.5, 60.25, 3600.0])
    source = requests(times, np.array([1030, 513, 40, 2000, 16]), np.arange(1, 6), session=np.array([4, -1, 4, 5, -1]),
                      prefix_blocks=np.array([2, 1, 0, 3, 0]), prefixes=np.array([50, 51, 50, 50, 51, 52]))  # fmt: skip
    path = tmp_path / "written"
    kind.write(path, [source.part(0, 2), source.part(2, 5)], *([] if isinstance(kind.block_tokens, int) else [16]))
    assert format_of(path) is kind
    found = joined(kind.read(path))
    if kind.clock != "none":
        assert found.arrival_s.tolist() == (np.floor(times) if kind.name in WHOLE_SECONDS else times).tolist()
    assert found.input_tokens.tolist() == source.input_tokens.tolist()
    assert found.output_tokens.tolist() == source.output_tokens.tolist()
    if kind.name in ("csv", "parquet"):
        assert as_lists(found) == as_lists(source)
    if kind.name in ("bailian", "burstgpt-3", "csv", "parquet"):
        groups = [found.session[0] == found.session[2], found.session[0] == found.session[3]]
        assert groups == [True, False]
    if kind.blocks == "ceil":
        size = kind.block_tokens
        ids = blocks(found)
        assert [len(part) for part in ids] == (-(-source.input_tokens // size)).tolist()
        assert ids[0][:2] == ids[3][:2]  # 50, 51
        assert ids[0][0] == ids[1][0]
        assert ids[0][1] != ids[1][1]


WHOLE_SECONDS = ("burstgpt", "ragpulse")
TICK_S = {"azure-2023": 1e-7, "azure-2024": 1e-6, "azure-lmm": 1e-3, "mooncake": 1e-3, "apex": 1e-9, "aiperf": 1e-9}
"""What times are rounded to; seconds to the last digit where it is not said."""
SESSIONS = ("bailian", "burstgpt-3", "csv", "parquet", "ragpulse", "aiperf", "kv-cache-tester", "kv-cache-tester-flat")
"""Formats that tell which requests are of one session; some give a request without one a session of its own."""


@st.composite
def workloads(draw: st.DrawFn) -> tuple[list[tuple[float, int, int, int, int]], list[list[int]]]:
    """Requests (arrival, prompt, answer, session, images), and the chained ids of 64-token blocks of what their prompts share."""
    rows, known, numbers = [], [], {}
    time = 0.0
    for _ in range(draw(st.integers(1, 12))):
        time += draw(st.sampled_from([0.0, 0.001, 0.25, 1.0, 3.7, 61.0]))
        shared = draw(st.lists(st.integers(0, 2), max_size=4))
        inputs = 64 * len(shared) + draw(st.integers(1, 300))
        rows.append((time, inputs, draw(st.integers(1, 500)), draw(st.integers(-1, 2)), draw(st.integers(0, 3))))
        known.append([numbers.setdefault(tuple(shared[: k + 1]), len(numbers)) for k in range(len(shared))])
    return rows, known


def alike(one: list[int], other: list[int]) -> int:
    """How many blocks two prompts begin with together."""
    return next(
        (k for k, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@settings(max_examples=25, deadline=None)
@given(workload=workloads())
def test_any_workload_is_read_as_it_was_written(tmp_path_factory, kind, workload):
    """What a format has a place for: times, lengths, images, sessions, and how much prompts share."""
    rows, known = workload
    times, inputs, outputs, sessions, images = (np.array(column) for column in zip(*rows, strict=True))
    size = kind.block_tokens if isinstance(kind.block_tokens, int) and kind.block_tokens else 64
    source = requests(times, inputs, outputs, session=sessions, images=images,
                      prefix_blocks=np.array([len(ids) for ids in known]), prefixes=np.array([one for ids in known for one in ids], np.int64))  # fmt: skip
    source = reblocked(source, 64, size)
    path = tmp_path_factory.mktemp("written") / "trace.jsonl"
    told = [] if isinstance(kind.block_tokens, int) else [64]
    kind.write(path, [part for part in (source.part(0, 5), source.part(5, len(source))) if len(part)], *told)
    assert format_of(path) is kind
    found = joined(kind.read(path))
    order = np.arange(len(rows))
    own = np.where(sessions < 0, 1000 + order, sessions)
    if kind.clock == "session":  # session after session, and times count from its beginning
        first = {session: times[own == session].min() for session in own.tolist()}
        begun = list(dict.fromkeys(own.tolist()))
        order = np.array(sorted(order.tolist(), key=lambda row: (begun.index(own[row]), row)))
        expected = np.array([times[row] - first[own[row]] for row in order])
        assert np.allclose(found.arrival_s, expected, atol=1e-9)
    elif kind.clock == "none":
        assert np.isnan(found.arrival_s).all()
    elif kind.name in WHOLE_SECONDS:
        begin = np.floor(times[0]) if kind.name == "burstgpt" else 0
        assert found.arrival_s.tolist() == (np.floor(times) - begin).tolist()
    else:
        assert np.allclose(found.arrival_s, times - times[0], rtol=0, atol=1.01 * TICK_S.get(kind.name, 1e-9))
    assert found.input_tokens.tolist() == inputs[order].tolist()
    assert found.output_tokens.tolist() == outputs[order].tolist()
    if kind.name in SESSIONS:
        alone = own[order]
        if (found.session < 0).any() or kind.name in ("csv", "parquet"):
            assert ((found.session < 0) == (sessions[order] < 0)).all()
            alone = sessions[order]
        assert (np.equal.outer(found.session, found.session) == np.equal.outer(alone, alone)).all()
    if kind.name == "azure-lmm":
        assert (found.images if found.images.size else np.zeros(len(rows))).tolist() == images.tolist()
    if size and (kind.blocks or told):
        before, after = blocks(source), blocks(found)
        for k in range(len(rows)):
            for n in range(k):
                # blocks of different sessions never meet where ids are local
                local = kind.clock == "session" and own[order][k] != own[order][n]
                shared = 0 if local else alike(before[order[k]], before[order[n]])
                assert alike(after[k], after[n]) == shared


@pytest.mark.parametrize("name", ["trace.csv.gz", "trace.jsonl.gz"])
def test_a_path_that_ends_in_gz_is_packed_and_the_same_each_time(tmp_path, name):
    scenario = load_scenario("chat_burst", ["horizon_s=60"])
    kind = format_named("csv" if "csv" in name else "mooncake")
    count = write_trace(scenario, tmp_path / name, kind)
    again = tmp_path / "again.gz"
    write_trace(scenario, again, kind)
    assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / name).read_bytes() == again.read_bytes()
    assert len(joined(format_of(again).read(again))) == count > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "again.gz"])


def test_servegen_is_not_written_and_says_why():
    with pytest.raises(ValueError, match="rates and lengths of clients in windows, not requests"):
        format_named("servegen")


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("name", "was", "now", "line", "column", "says"),
    [
        ("burstgpt", "1317", "1318", 3, "Total tokens", "1087 . 230 tokens are not that"),
        ("burstgpt", "API log", "API", 3, "Log Type", "Conversation log or API log"),
        ("burstgpt", "45,", "4,", 3, "Timestamp", "sort the file"),
        ("burstgpt", "45,", "x,", 3, "Timestamp", "a number of at least 0"),
        ("burstgpt", ",1087,", ",1e3,", 3, "Request tokens", "whole number"),
        ("mooncake", "6000", "2000", 2, "timestamp", "sort the file"),
        ("mooncake", "[0, 1, 2]", "[0, 1]", 1, "hash_ids", "found 2 blocks for 1025 tokens; blocks of 512 are 3"),
        ("mooncake", "[0, 1, 2]", "[0, 1, -2]", 1, "hash_ids", "from 0 to"),
        ("mooncake", "1025", "1025.0", 1, "input_length", "found 1025.0; it is a whole number"),
        ("mooncake", "1025", "true", 1, "input_length", "found true"),
        ("mooncake", "1025", "9" * 5000, 1, None, "not JSON"),
        ("mooncake", "1025", "9" * 50, 1, "input_length", "whole number"),
        ("mooncake", "1025", "NaN", 1, None, "NaN is no JSON number"),
        ("mooncake", '"output_length": 26', '"output": 26', 2, "output_length", "missing"),
        ("mooncake", "26,", "26", 2, None, "not JSON"),
        ("mooncake", '{"timestamp": 6000', '[{"timestamp": 6000', 2, None, "not JSON"),
        ("bailian", '"turn": 2, "hash_ids": [3', '"turn": 2, "hash_ids": ["3"', 2, "hash_ids", "an id is"),
        ("ragpulse", '"93"', "93", 2, "timestamp", "whole seconds as text"),
        ("kv-cache-tester", "[1, 2]", "[1, 2, 3]", 1, "hash_ids", "3 blocks for 130 tokens"),
        ("vidur", "4.75", "0.25", 3, "arrived_at", "sort the file"),
        ("vidur", "396", "0", 3, "num_prefill_tokens", "from 1"),
        ("vidur", "4.75", "1e999", 3, "arrived_at", "number"),
        ("apex", "1500203480", "1.5", 3, "StartTimeOffset", "nanoseconds are"),
        ("csv", "11 12", "11 12 13 14", 2, "prefix_ids_32", "4 blocks of 32 for 70 tokens"),
        ("csv", "11 12", "11 x", 2, "prefix_ids_32", "separated by blanks"),
        ("csv", "1.75,31", "1.75,31,0", 3, None, "found 7 fields"),
        ("csv", ",-1,", ",-2,", 3, "session", "whole number"),
        ("aiperf", "250000000", "x", 2, None, "not JSON"),
        ("vllm-bench", "[\n  10,", "[\n  -10,", 1, "input_lens", "entry 1 is -10"),
        ("vllm-bench", "[\n  10,", "[", 1, None, "1 input_lens, 2 output_lens"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::infersim.workload.traces.TraceWarning")
def test_faults_are_told_with_their_place(written, name, was, now, line, column, says):
    content = FILES[name]
    assert was in content
    path = written(name, content.replace(was, now, 1))
    with pytest.raises(TraceError, match=says) as caught:
        joined(checked(path, format_named(name)))
    assert (caught.value.line, caught.value.column) == (line, column)
    assert "\n" not in str(caught.value)


def test_a_file_of_no_format_says_what_was_found_and_what_is_known(written):
    with pytest.raises(TraceError, match=r"no known format: found columns a, b; known are azure-2023.*a plain CSV has"):
        format_of(written("x", "a,b\n1,2\n"))
    with pytest.raises(TraceError, match="found keys a"):
        format_of(written("x", '{"a": 1}'))
    with pytest.raises(TraceError, match="no whole Parquet file"):
        format_of(written("x", b"PAR1 rubbish"))


REPLACEMENTS = [b"", b"0", b"-", b",", b"\n", b"\r\n", b" ", b"\x00", b"\xff", b"\xef\xbb\xbf", b'"', b"1e3", b"{",
                b"]", b"9" * 25, b"NaN", b"null", b"-1", b"0.5"]  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 12), st.one_of(st.sampled_from(REPLACEMENTS), st.binary(max_size=4))),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None)
@given(edits=EDITS, cut=st.integers(0, 400), order=st.randoms(use_true_random=False))
@pytest.mark.filterwarnings("ignore::infersim.workload.traces.TraceWarning")
def test_edited_truncated_and_shuffled_files_are_read_whole_or_refused(tmp_path_factory, name, edits, cut, order):
    """Never another exception, never a number that no request can have."""
    rows = FILES[name].encode().splitlines(keepends=True)
    if cut % 3 == 0:
        order.shuffle(rows)
    content = b"".join(rows)
    content = content[: len(content) - cut] if cut % 5 == 0 else content
    for at, removed, inserted in edits:
        content = content[:at] + inserted + content[at + removed :]
    path = tmp_path_factory.getbasetemp() / f"{name}.edited"
    path.write_bytes(content)
    try:
        found = joined(checked(path, format_named(name)))
    except TraceError:
        return
    assert np.all(found.input_tokens >= 1)
    assert np.all(found.output_tokens >= 1)
    assert np.all(found.input_tokens <= 10**9)
    if format_named(name).clock == "absolute":
        assert np.all(np.diff(found.arrival_s) >= 0)
        assert np.all(np.isfinite(found.arrival_s))
    assert found.prefixes.size == found.prefix_blocks.sum()
