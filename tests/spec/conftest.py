"""A scenario with its own chip, engine and model, whose numbers belong to these tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

CHIP = """\
name: testchip
title: Test chip
vendor: Acme
year: 2025
execution: roofline
memory:
  kind: HBM
  capacity_gb: {value: 80, grade: datasheet, source: a made-up page}
  bandwidth_gb_s: {value: 3350, grade: datasheet, source: a made-up page}
peak_tflops:
  bf16: {value: 989.4, grade: datasheet, source: a made-up page}
  fp8: {value: 1978.9, grade: datasheet, source: a made-up page}
computes_as: {int4: bf16}
link:
  topology: nvswitch
  one_way_gb_s: {value: 450, grade: datasheet, source: a made-up page}
  domain_chips: 8
  latency_us: {value: 8, grade: estimated, source: a made-up page}
  efficiency: {value: 0.8, grade: estimated, source: a made-up page}
load_gb_s: {value: 5, grade: estimated, source: a made-up page}
provision_s: {value: 60, grade: estimated, source: a made-up page}
power:
  tdp_w: {value: 700, grade: datasheet, source: a made-up page}
  idle_w: {value: 120, grade: estimated, source: a made-up page}
efficiency:
  matmul_compute:
    bf16: {value: 0.7, grade: estimated, source: a made-up page}
    fp8: {value: 0.6, grade: estimated, source: a made-up page}
  matmul_memory: {value: 0.8, grade: estimated, source: a made-up page}
  attention_compute: {value: 0.5, grade: estimated, source: a made-up page}
  attention_memory: {value: 0.7, grade: estimated, source: a made-up page}
  op_floor_us: {value: 2, grade: estimated, source: a made-up page}
prices:
  - tier: on_demand
    usd_per_chip_hour: {value: 6.88, grade: datasheet, source: a made-up page}
    provider: aws
    date: 2026-06-01
  - tier: on_demand
    usd_per_chip_hour: {value: 10.0, grade: datasheet, source: a made-up page}
    provider: gcp
    date: 2026-06-01
"""

ENGINE = """\
name: testengine
title: Test engine
version: "1.0"
execution: [roofline]
vendors: [Acme]
step_overhead_us: {value: 500, grade: estimated, source: a made-up page}
sequence_overhead_us: {value: 5, grade: estimated, source: a made-up page}
request_overhead_ms: {value: 3, grade: estimated, source: a made-up page}
token_overhead_us: {value: 1, grade: estimated, source: a made-up page}
memory_fraction: {value: 0.9, grade: datasheet, source: a made-up page}
async_scheduling: true
block_size: 16
max_num_seqs: 256
max_num_batched_tokens: 8192
initialise_s: {value: 30, grade: estimated, source: a made-up page}
"""

SCENARIO = """\
# A question.
name: quiet-hour
model: llama-3.1-70b
horizon_s: 3600
seed: 1
workload:
  arrivals: {process: mmpp, rates_rps: [2, 20], mean_sojourn_s: [60, 15]}
  input_tokens: {distribution: lognormal, mean: 1155, p99: 4142}
  output_tokens:
    distribution: lognormal
    mean: 211
    p99: 601
router: {policy: least_outstanding}
pools:
  - name: h100
    hardware: chip.yaml
    engine: engine.yaml
    parallelism: {tensor: 4}
    precision: {weights: fp8, kv_cache: fp8}
    batching: {max_num_seqs: 64}
    replicas:
      initial: 2
      min: 1
      max: 12
    autoscaler: {policy: target_concurrency, target: 48, interval_s: 15}
    price: {tier: on_demand}
slo: {ttft_p99_s: 0.5, tpot_p99_s: 0.05}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a chip and an engine for SCENARIO to refer to."""
    (tmp_path / "chip.yaml").write_text(CHIP)
    (tmp_path / "engine.yaml").write_text(ENGINE)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str], Path]:
    """Write a scenario beside the chip and the engine."""

    def write(text: str) -> Path:
        path = folder / "scenario.yaml"
        path.write_text(text)
        return path

    return write


def line_of(text: str, fragment: str) -> int:
    """The line on which a fragment first stands, counted from 1."""
    assert fragment in text, fragment
    return text[: text.index(fragment)].count("\n") + 1
