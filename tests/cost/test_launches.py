"""What kernels cost beside arithmetic and bytes, worked out by hand: overlap, grouped products, hosts that launch them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from infersim.cost.chip import Chip
from infersim.cost.deployment import Deployment
from infersim.cost.operator_time import kernels_of, operator_work
from infersim.cost.operators import elementwise, layer_parts, matmul
from infersim.cost.roofline import (
    host_work,
    linear_work,
    mixed_work,
    never_graphed,
    parts_of,
    waiting_for_launches,
)
from infersim.spec import catalogue


def alone(model: str) -> Deployment:
    """A model on one H100 under vLLM."""
    chip, engine = Chip(catalogue.hardware("h100-sxm")), catalogue.engine("vllm")
    return Deployment(catalogue.model(model), chip, engine, 1, 1, 1, 1, 1, "bf16", "bf16", 128, 2048, 16, None)


def test_dense_and_grouped_products_have_one_corner() -> None:
    """Where both sides take equally long a product takes 2^(1/2.5) = 1.32 times one of them, with one expert of many tokens too."""
    d = alone("qwen3-30b-a3b")
    dense = replace(matmul("dense", 4096, 4096), shape=None)
    balance = d.chip.matmul_flops("bf16") / d.chip.weight_bytes_s  # FLOP/B, 2 T / 2 B a weight
    tiles = 128 / balance / (1 - math.exp(-128 / balance))
    for operator, more in ((dense, 1.0), (replace(dense, experts=(1, 1)), tiles)):
        work = operator_work(replace(operator, activations=0.0), np.array([balance]), d)
        one = operator.weights * 2.0 / d.chip.weight_bytes_s
        assert work.compute_s + work.memory_s == pytest.approx(one * (1 + more**2.5) ** (1 / 2.5), rel=1e-6)


def test_products_of_blackwell_compute_whole_tiles() -> None:
    """128, 129 and 4,000 tokens take the arithmetic of 128, 256 and 4,096 on a B200, 16 their own; H100s choose among tiles, experts have tiles of their own."""
    b200 = replace(alone("llama-3.1-70b"), chip=Chip(catalogue.hardware("b200-sxm")))
    bare = replace(
        matmul("product", 8192, 8192), activations=0.0, weights=1.0, shape=None
    )  # as good as nothing to read
    seconds = operator_work(bare, np.array([16.0, 128.0, 129.0, 4000.0]), b200).compute_s
    assert seconds == pytest.approx(
        bare.flops * np.array([16, 128, 256, 4096]) / b200.chip.matmul_flops("bf16"), rel=1e-3
    )
    assert operator_work(bare, np.array([129.0]), b200).flops == pytest.approx(129.0 * bare.flops)
    one, two = operator_work(bare, np.array([128.0, 256.0]), alone("llama-3.1-70b")).compute_s
    middle = operator_work(bare, np.array([192.0]), alone("llama-3.1-70b")).compute_s
    assert middle == pytest.approx((one + two) / 2, rel=1e-3)


def test_narrow_products_wait_for_one_tiles_way_through_its_rows() -> None:
    """Measured on an H200 under vLLM 0.24 in fp8, 8 tokens by 8,192 rows and 256 to 16,384 columns: 11.0, 12.9, 18.3, 23.4, 39.5 us
    (aiconfigurator-core 0.12.0), its input's conversion among them; bytes alone would take 6.3 us of the narrowest."""
    d = replace(alone("llama-3.1-70b"), chip=Chip(catalogue.hardware("h200-sxm")), weights="fp8")
    known = {256: 11.0, 2048: 12.9, 5120: 18.3, 8192: 23.4, 16384: 39.5}
    for columns, microseconds in known.items():
        product = matmul("product", 8192, columns)
        found = operator_work(product, np.array([8.0]), d).seconds[0] * 1e6
        assert found == pytest.approx(microseconds, rel=0.15), columns
    l40s = replace(d, chip=Chip(catalogue.hardware("l40s")))
    assert l40s.chip.depth_s == 0.0  # nothing is known of it
    wide, narrow = (operator_work(matmul("p", 8192, n), np.array([1.0]), l40s).memory_s[0] for n in (8192, 1024))
    assert wide / narrow == pytest.approx(8.0, rel=0.01)


def test_experts_that_are_unpacked_keep_a_share_of_bandwidth_and_arithmetic() -> None:
    """4 bits on H100 are computed in 16: streaming at 0.8 and arithmetic at 0.45 of what experts in 16 bits reach; products of
    dense layers, whose kernels unpack while they stream, lose nothing."""
    d = replace(alone("qwen3-30b-a3b"), weights="fp4")
    assert d.chip.computes("fp4") == "bf16"
    dense = replace(matmul("dense", 4096, 4096), activations=0.0, shape=None)
    grouped = replace(dense, experts=(1, 1))
    few, many = (operator_work(grouped, np.array([count]), d) for count in (1.0, 1e6))
    assert few.memory_s == pytest.approx(dense.weights * 0.5 / 0.8 / d.chip.weight_bytes_s, rel=0.06)  # a tile of 16
    assert many.compute_s == pytest.approx(dense.flops * 1e6 / (0.45 * d.chip.matmul_flops("bf16")), rel=0.01)
    alone_read = operator_work(dense, np.array([1.0]), d)
    assert alone_read.memory_s == pytest.approx(dense.weights * 0.5 / d.chip.weight_bytes_s, rel=0.01)


def test_a_host_that_launches_kernels_runs_ahead_of_the_device() -> None:
    """Llama 3.1 8B on one chip: 32 layers of norm, QKV, rope, output, attention and norm, up, activation, down: 9 kernels."""
    d = alone("llama-3.1-8b")
    assert d.engine.launch_us is not None
    host = 32 * 9 * d.engine.launch_us.value * 1e-6
    parts = layer_parts(d.model, d.shard)
    assert waiting_for_launches(parts, d, np.array([0.0, 1.0])) == pytest.approx([host, 0.0])


def test_steps_with_prompts_wait_for_launches_where_no_graph_holds_them() -> None:
    """vLLM captures pieces up to 512 tokens; TensorRT-LLM and SGLang only decode steps; early engines nothing at all. Where no graph
    holds steps without prompts either (above 512 sequences of vLLM), all steps wait alike."""
    for engine, waits in (
        ("vllm", (False, False)), ("sglang", (True, True)), ("tensorrt-llm", (True, True)), ("eager", None), ("neuron", None),
    ):  # fmt: skip
        d = replace(alone("llama-3.1-8b"), engine=catalogue.engine(engine))
        linear = linear_work(d)
        mixed = mixed_work(d, linear)
        if waits is None:
            assert mixed is None
        else:
            host = 288 * d.engine.launch_us.value * 1e-6
            expected = [w * max(0.0, host - linear.seconds[t]) for w, t in zip(waits, (512, 513), strict=True)]
            assert mixed.seconds[[512, 513]] == pytest.approx(expected)
            assert (mixed.seconds[64] > 0.0) == waits[0]  # which keep the device busy for less than 288 launches
    eager = replace(alone("llama-3.1-8b"), engine=catalogue.engine("eager"))
    assert linear_work(eager).seconds[1] >= 288 * eager.engine.launch_us.value * 1e-6


def test_steps_of_more_sequences_than_were_captured_wait_for_launches() -> None:
    """Qwen2.5 1.5B has 28 layers of 9 kernels, launched one by one in 252 times 30 us, which 513 sequences do not keep an H100 busy for."""
    small = replace(alone("qwen2.5-1.5b"), max_num_seqs=1024)
    assert small.engine.launch_us is not None
    host = 28 * 9 * small.engine.launch_us.value * 1e-6
    seconds = linear_work(small).seconds
    endless = linear_work(replace(small, engine=small.engine.model_copy(update={"graphed_seqs": None}))).seconds
    assert seconds[:513] == pytest.approx(endless[:513])
    assert endless[513] < 0.6 * host
    assert seconds[513:] == pytest.approx(
        np.maximum(endless[513:], host), rel=1e-3
    )  # the device takes longer than the host
    assert endless[2048] > 0.9 * host


def test_each_group_of_data_parallel_attention_has_graphs_of_its_own() -> None:
    """8 groups of 512 sequences each replay graphs; one more in one of them, and nobody does."""
    d = replace(alone("deepseek-v3"), tensor=8, expert=8, attention_data=8)
    assert never_graphed(np.array([512.0, 4096.0, 4097.0]), d).tolist() == [False, False, True]
    assert never_graphed(np.array([512.0, 513.0]), replace(d, attention_data=1)).tolist() == [False, True]


def test_prompts_that_sglang_replays_are_shorter_with_latent_attention() -> None:
    """Up to 8,192 tokens; up to 2,048 of DeepSeek V3, whose steps of 2,049 wait for their launches."""
    d = replace(alone("llama-3.1-8b"), engine=catalogue.engine("sglang-0.5.10"), max_num_batched_tokens=8192)
    assert not mixed_work(d, linear_work(d)).seconds.any()
    d = replace(d, model=catalogue.model("deepseek-v3"), tensor=8, expert=8)
    waited = mixed_work(d, linear_work(d)).seconds
    assert not waited[:2049].any()
    assert waited[2049] > 0.0


def test_kernels_of_engines_that_fuse_counted_by_hand() -> None:
    """Llama 3.1 70B in fp8 with static scales on eight chips: QKV, attention, output, up, activation, down, and two
    collectives that hold the norms: 8 of 80 layers. DeepSeek's block scales take a kernel before each product."""
    d = replace(alone("llama-3.1-70b"), engine=catalogue.engine("tensorrt-llm-1.2"), tensor=8, weights="fp8")
    assert d.engine.launch_us is not None
    kernel = d.engine.launch_us.value * 1e-6
    parts = layer_parts(d.model, d.shard)
    assert waiting_for_launches(parts, d, np.zeros(1)) == pytest.approx([80 * 8 * kernel])
    block = replace(d, model=d.model.model_copy(update={"native_dtype": "fp8"}))
    assert waiting_for_launches(parts, block, np.zeros(1)) == pytest.approx([80 * 12 * kernel])


def test_experts_in_native_fp4_run_as_one_flow_under_every_engine() -> None:
    """Two kernels choose and sort, two are the products, one adds up; on Hopper the same experts are unpacked."""
    for engine, norm, sort in (("vllm", 1, 9), ("tensorrt-llm-1.2", 0, 14)):
        for chip, kernels in (("b200-sxm", [2, 1, 0, 1, 1]), ("h200-sxm", [sort, 1, 1, 1, 1])):
            d = replace(alone("gpt-oss-120b"), engine=catalogue.engine(engine), chip=Chip(catalogue.hardware(chip)),
                        tensor=8, weights="fp4")  # fmt: skip
            (experts,) = [part for part in layer_parts(d.model, d.shard) if part.name == "experts"]
            assert [kernels_of(operator, d) for operator in experts.operators] == [norm, 1, *kernels]


def test_a_slower_host_takes_longer_for_all_that_it_does() -> None:
    """Hosts of A100 machines take 1.25 times as long: steps, sequences, launches and the front end."""
    fast = alone("llama-3.1-8b")
    slow = replace(fast, chip=Chip(catalogue.hardware("a100-sxm-80gb")))
    ten = np.array([10.0])
    assert fast.engine.filter_overhead_us is not None  # this model's generation_config asks for top-p
    us = fast.engine.step_overhead_us.value + fast.engine.filter_overhead_us.value
    us += 10 * fast.engine.sequence_overhead_us.value
    assert host_work(slow, ten).seconds == pytest.approx(1.25 * us * 1e-6)
    assert host_work(fast, ten).seconds == pytest.approx(us * 1e-6)
    parts = layer_parts(fast.model, fast.shard)
    host = [float(waiting_for_launches(parts, d, np.zeros(1))[0]) for d in (fast, slow)]
    assert host[1] == pytest.approx(1.25 * host[0])


def test_chains_of_kernels_move_their_activations_several_times() -> None:
    """A norm of 8,192 elements moves 5 x 4 x 8,192 x 2 B a token under `eager`; a product's own activations move once."""
    d = replace(alone("llama-3.1-8b"), engine=catalogue.engine("eager"))
    norm, product = elementwise("norm", 4 * 8192), matmul("product", 8192, 8192)
    assert operator_work(norm, np.array([3.0]), d).memory_bytes == pytest.approx(3 * 5 * 4 * 8192 * 2)
    assert operator_work(product, np.array([3.0]), d).memory_bytes == pytest.approx(2 * (8192**2 + 3 * 2 * 8192))


def test_the_corner_of_a_chip_is_its_own() -> None:
    """2^(1/1.65) = 1.52 times the longer side on A100, where its product tables have it, 1.32 on H100."""
    for name, sharpness in (("a100-sxm-80gb", 1.65), ("h100-sxm", 2.5)):
        d = replace(alone("llama-3.1-8b"), chip=Chip(catalogue.hardware(name)))
        bare = replace(matmul("product", 4096, 4096), activations=0.0, shape=None)
        balance = d.chip.matmul_flops("bf16") / d.chip.weight_bytes_s
        work = operator_work(bare, np.array([balance]), d)
        one = bare.weights * 2.0 / d.chip.weight_bytes_s
        assert work.compute_s + work.memory_s == pytest.approx(one * 2 ** (1 / sharpness), rel=1e-6)


def test_biases_behind_collectives_are_kernels_where_pytorch_launches_each() -> None:
    """BLOOM adds one to what attention and MLP amount to: norm, QKV, rope (its slopes), output, bias; norm, up, activation, down, bias. On one chip
    a bias is the end of its product, in compiled engines part of the norm behind it, and Llama has none. 14,336 16-bit numbers
    are read once and another 14,336 for each token come and go."""

    def kernels(model: str, engine: str, tensor: int) -> int:
        d = replace(alone(model), engine=catalogue.engine(engine), tensor=tensor, chips=tensor)
        return sum(operator.launches for part in parts_of(d) for operator in part.operators)

    assert kernels("bloom-176b", "eager", 8) == 10
    assert kernels("bloom-176b", "eager", 1) == kernels("bloom-176b", "tensorrt-llm-0", 8) == 8
    assert kernels("llama-2-70b", "eager", 8) == 8
    d = replace(alone("bloom-176b"), engine=catalogue.engine("eager"), tensor=8, chips=8)
    bias = parts_of(d)[0].operators[-1]
    work = operator_work(bias, np.array([3.0]), d)
    assert work.memory_bytes == pytest.approx(8 * (14336 + 3 * 2 * 14336) * 2.0)
