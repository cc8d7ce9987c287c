"""SRAM machines: one token's latency by hand, and steps of max(latency, B x interval)."""

import pytest

from infersim.spec import catalogue
from tests.cost.deployments import Case, decode_step_s

GROQ = Case("llama-2-70b", "groq-lpu", "groq", (("chips", 576),), "int8", "fp16")


def host_s(sequences: int) -> float:
    engine = catalogue.engine("groq")
    return (engine.step_overhead_us.value + engine.sequence_overhead_us.value * sequences) * 1e-6


def test_latency_of_one_token_by_hand() -> None:
    chip = catalogue.hardware("groq-lpu")
    floor = chip.efficiency.op_floor_us.value * 1e-6
    hop = chip.link.latency_us.value * 1e-6 + 2 * 8192 / (240e9 * chip.link.efficiency.value)
    # a layer: norm, qkv, rope, two of attention, output, norm, up, activation, down = 10 operators, two gathers and the
    # hand-over to the next; the head: norm, product and six of sampling, and the way back
    fill = 80 * (10 * floor + 3 * hop) + 8 * floor + hop
    # int8 matrices of one layer, then the 16-bit LM head, each through one layer's share of the machine
    layer = 8192 * (8192 + 2 * 1024) + 8192 * 8192 + 3 * 8192 * 28672
    weights = 80 * layer + 2 * 32000 * 8192
    reading = 80 * weights / (576 * 80e12 * chip.efficiency.matmul_memory.value)
    assert decode_step_s(GROQ.tables(), 1, 0) == pytest.approx(fill + reading + host_s(1), rel=1e-6)


def test_a_step_is_the_longer_of_latency_and_all_intervals() -> None:
    tables = GROQ.tables(max_num_seqs=1024)
    machine = [tables.linear.seconds[b] + tables.sequences.seconds[b] - host_s(b) for b in range(1, 1025)]
    interval = (machine[-1] - machine[-2]) * 1024 / 1024
    latency = machine[0]
    assert interval * 80 < latency  # fill times and hops are not part of the interval
    for b in (1, 2, 50, 200, 500, 1024):
        assert machine[b - 1] == pytest.approx(max(latency, b * interval), rel=1e-6)


def test_twice_the_chips_halve_the_reading_but_not_the_fill_times() -> None:
    one, two = GROQ.tables(), GROQ.tables(layout=GROQ.parallelism.model_copy(update={"chips": 1152}))
    assert two.linear.memory_s[1] == pytest.approx(one.linear.memory_s[1] / 2)
    assert two.linear.launch_s[1] == pytest.approx(one.linear.launch_s[1], rel=0.02)


def test_contexts_of_sequences_in_different_layers_are_read_at_the_same_time() -> None:
    tables = GROQ.tables()
    per_token = tables.decode_per_context.seconds
    assert per_token[80] == pytest.approx(per_token[1] / 80)
    assert per_token[128] == per_token[80]


def test_all_of_a_wafer_at_work_on_each_operator_reads_faster_by_the_number_of_layers() -> None:
    """Llama 3 8B: 32 layers of ten operators and eight of the head take their fill times either way; the weights are read once by the
    whole wafer, not 32 times as slowly by a strip each. Every further sequence then takes its own reading."""
    by_layers = Case("llama-3-8b", "cerebras-wse2", "cerebras", (("chips", 1),)).tables()
    by_operators = Case("llama-3-8b", "cerebras-wse2", "waferllm", (("chips", 1),)).tables()
    fill = (32 * 10 + 8) * catalogue.hardware("cerebras-wse2").efficiency.op_floor_us.value * 1e-6
    assert by_layers.linear.seconds[1] - fill == pytest.approx(32 * (by_operators.linear.seconds[1] - fill), rel=1e-6)
    reading, further = by_operators.linear.memory_s[1], by_operators.sequences.memory_s
    assert further[5] - further[1] == pytest.approx(4 * reading)
    assert by_operators.decode_per_context.seconds[8] == pytest.approx(by_layers.decode_per_context.seconds[128])
    assert by_operators.decode_per_context.seconds[1] == pytest.approx(by_layers.decode_per_context.seconds[1] / 32)
