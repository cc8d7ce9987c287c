"""Every chip that the catalogue promises serves a scenario from end to end, and its facts are those that were collected.

Not here: the costs of chips (`tests/cost/test_every_chip.py`).
"""

import csv
import os
import re
from pathlib import Path

import pytest

from infersim import simulate
from infersim.spec import catalogue
from infersim.spec.base import Quantity, leaves
from infersim.spec.hardware import Hardware

NAMED = [
    "h100-sxm",
    "h100-pcie",
    "h100-nvl",
    "h200-sxm",
    "h800-sxm",
    "h20",
    "a100-sxm-40gb",
    "a100-sxm-80gb",
    "a10g",
    "l4",
    "l40s",
    "rtx-4090",
    "rtx-pro-6000",
    "b200-sxm",
    "gb200-nvl72",
    "b300-sxm",
    "gb300-nvl72",
    "rubin-nvl72",
    "mi250",
    "mi300x",
    "mi325x",
    "mi350x",
    "mi355x",
    "tpu-v4",
    "tpu-v5e",
    "tpu-v5p",
    "tpu-v6e",
    "tpu-v7",
    "inferentia1",
    "inferentia2",
    "trainium1",
    "trainium2",
    "trainium3",
    "groq-lpu",
    "groq-lpx",
    "cerebras-wse2",
    "cerebras-wse3",
    "sambanova-sn40l",
    "gaudi2",
    "gaudi3",
    "xeon-6980p",
    "ascend-910b",
    "ascend-910c",
    "maia-100",
    "maia-200",
    "cobalt-100",
    "mtia-v1",
    "mtia-v2",
    "mtia-300",
    "cloud-ai-100",
    "snapdragon-8-gen-3",
    "apple-m4",
    "epyc-9005",
]
"""The chips that people argue about."""
ENGINES = {"Google": "jetstream", "AWS": "neuron", "Groq": "groq", "Cerebras": "cerebras", "SambaNova": "sambanova"}
FACTS = Path(os.environ.get("INFERSIM_SHARED", Path(__file__).parents[2] / "shared")) / "facts" / "hardware_facts.csv"
FACT_NAMES = {
    "AMD EPYC 9005 (Turin)": "epyc-9005", "AMD MI250 / MI250X": "mi250", "Azure Cobalt 100": "cobalt-100",
    "Google TPU7x (Ironwood)": "tpu-v7", "Groq LPU v1 (GroqChip1 / TSP)": "groq-lpu", "Huawei Ascend 910B": "ascend-910b",
    "Intel Xeon 6980P (Granite Rapids, AMX)": "xeon-6980p", "Meta MTIA v1 (100)": "mtia-v1", "Meta MTIA v2 (200)": "mtia-v2",
    "NVIDIA A10G 24GB": "a10g", "NVIDIA Groq 3 LPU (LP30, LPX rack)": "groq-lpx", "NVIDIA H100 NVL 94GB": "h100-nvl",
    "NVIDIA H100 PCIe 80GB": "h100-pcie", "NVIDIA H100 SXM5 80GB": "h100-sxm", "NVIDIA H200 SXM 141GB": "h200-sxm",
    "NVIDIA H800 SXM5": "h800-sxm", "NVIDIA L4 24GB": "l4", "NVIDIA L40S 48GB": "l40s",
    "NVIDIA Rubin (VR NVL72, per GPU)": "rubin-nvl72", "Qualcomm Cloud AI 100 Standard": "cloud-ai-100",
    "Qualcomm Cloud AI 100 Ultra": "cloud-ai-100-ultra", "SambaNova SN40L": "sambanova-sn40l",
    "Snapdragon 8 Gen 3 (Hexagon NPU)": "snapdragon-8-gen-3", "NVIDIA A100 SXM4 40GB": "a100-sxm-40gb",
    "NVIDIA A100 SXM4 80GB": "a100-sxm-80gb", "NVIDIA GB200 (NVL72, per GPU)": "gb200-nvl72",
    "NVIDIA GB300 (NVL72, per GPU)": "gb300-nvl72", "Google TPU v6e (Trillium)": "tpu-v6e",
}  # fmt: skip
SCALES = {
    ("memory_capacity", "GiB"): 1.073741824, ("memory_capacity", "MB"): 1e-3, ("memory_bandwidth", "TB/s"): 1e3,
    ("memory_bandwidth", "PB/s"): 1e6, ("tdp", "kW"): 1e3, ("scaleup_bw_unidir", "GiB/s"): 1.073741824,
    ("on_chip_sram", "MiB"): 1.048576, ("on_chip_sram", "KiB"): 1.024e-3, ("on_chip_sram", "GB"): 1e3,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_every_named_chip_runs_a_scenario(name: str) -> None:
    chip = catalogue.hardware(name)
    engine = "groq" if name == "groq-lpx" else ENGINES.get(chip.vendor, "static")
    dtype = next(d for d in ("bf16", "fp16") if chip.compute_dtype(d))  # type: ignore[arg-type]
    layout = {"chips": {"groq-lpu": 400, "groq-lpx": 64}.get(name, 1)} if chip.execution == "pipeline" else {}
    pool = {
        "name": "chip", "hardware": name, "engine": engine, "parallelism": layout,
        "precision": {"weights": dtype, "kv_cache": dtype}, "batching": {"max_num_seqs": 4, "max_num_batched_tokens": 512},
    }  # fmt: skip
    workload = {
        "arrivals": {"process": "constant", "rate_rps": 0.5},
        "input_tokens": {"distribution": "constant", "value": 100},
        "output_tokens": {"distribution": "constant", "value": 20},
    }
    result = simulate(
        {"name": "one-chip", "model": "gemma-2b", "horizon_s": 10, "seed": 1, "workload": workload, "pools": [pool]}
    )
    assert (result.requests["status"] == "finished").all()
    assert len(result.requests) == 5
    assert result.summary["cost"]["total_usd"] > 0
    assert result.summary["energy"]["total_kwh"] > 0


@pytest.mark.parametrize("name", catalogue.hardware_names())
def test_every_number_of_a_chip_has_a_grade_and_a_source_and_every_price_a_seller_and_a_date(name: str) -> None:
    chip = catalogue.hardware(name)
    for key, value in leaves(chip):
        if isinstance(value, float):
            raise AssertionError(f"{name}: {key} is a bare number")
        if isinstance(value, Quantity):
            assert len(value.source) > 3, key
    for price in chip.prices:
        assert price.provider, name
        assert re.match(r"\d{4}", price.date), (name, price)


def collected() -> list[tuple[str, str, float]]:
    """(chip, fact, value in the profile's unit) of every fact that a profile repeats."""
    found, names = [], set(catalogue.hardware_names())
    with open(FACTS, newline="") as file:
        for row in csv.DictReader(file):
            number = re.match(r"[~<>]?\s*([\d,.]+)$", row["value"])
            plain = re.sub(r"^(AWS|Google|NVIDIA|AMD|Microsoft|Meta|Intel|Huawei) ", "", row["chip"])
            name = FACT_NAMES.get(row["chip"], re.sub(r" (\(.*\)|SXM \(.*\))", "", plain).lower().replace(" ", "-"))
            if number and name in names:
                value = float(number.group(1).replace(",", "")) * SCALES.get((row["fact"], row["unit"]), 1.0)
                found.append((name, row["fact"], value))
    return found


def in_profile(chip: Hardware, fact: str) -> Quantity | None:
    """The number of a profile that a fact is about, if any."""
    if fact.endswith("_dense"):
        return chip.peak_tflops.get(fact.removesuffix("_dense"))  # type: ignore[call-overload]
    numbers = {
        "memory_capacity": chip.memory.capacity_gb, "memory_bandwidth": chip.memory.bandwidth_gb_s,
        "tdp": chip.power.tdp_w, "scaleup_bw_unidir": chip.link.one_way_gb_s, "on_chip_sram": chip.on_chip_sram_mb,
    }  # fmt: skip
    return numbers.get(fact)


@pytest.mark.skipif(not FACTS.is_file(), reason="the collected facts are not here")
def test_profiles_repeat_the_collected_facts_or_say_why_not() -> None:
    """Within 1 %, or memory in GiB that is sold as GB, or a source that quotes the figure that it does not take."""
    chips = {name: catalogue.hardware(name) for name in catalogue.hardware_names()}
    unexplained, seen = [], 0
    for name, fact, value in collected():
        number = in_profile(chips[name], fact)
        if number is None:
            continue
        seen += 1
        sold = fact == "memory_capacity" and 1.0 < number.value / value < 1.075
        quoted = f"{value:g}" in number.source.replace(",", "") or f"{value / 1e3:.1f}" in number.source
        if abs(number.value / value - 1.0) > 0.01 and not sold and not quoted:
            unexplained.append(f"{name} {fact}: {number.value:g}, collected {value:g} ({number.source})")
    assert not unexplained, "\n".join(unexplained)
    assert seen > 150
