"""Cost tables of diffusion models: every step of B images costs the same, whatever went before.

In the terms of the tables (`tables.py`) an image is a sequence with a prompt of one token and as many output tokens as it has
steps, so the loop serves it as it stands: T = N = images of the step, linear[T] is a step of T images, and no table depends
on a context. What an image costs once, reading its prompt and decoding it, is the floor of its prompt's chunk. It has no
keys and values, so its blocks are none, and how many images are in memory is checked here, before the run.
Not here: the model's figures (`infersim/spec/diffusion.py`).
"""

from dataclasses import replace

import numpy as np

from infersim.cost.chip import Chip
from infersim.cost.energy import dynamic_energy
from infersim.cost.memory import DoesNotFit
from infersim.cost.tables import Array, CostTables, MemoryPlan, Work
from infersim.cost.work import launches, only_where, zeros
from infersim.spec.base import BYTES_PER_ELEMENT, Dtype
from infersim.spec.diffusion import Diffusion
from infersim.spec.engine import Engine
from infersim.spec.hardware import Hardware

NO_LIMIT = 10**9
"""Steps of the longest image: there is no context that ends."""


def diffusion_tables(
    model: Diffusion, hardware: Hardware, engine: Engine, weights: Dtype, max_num_seqs: int
) -> CostTables:
    """Price steps of up to `max_num_seqs` images on one chip; DoesNotFit says how many would fit."""
    chip, power = Chip(hardware), hardware.power
    plan = _plan(model, chip, engine, weights, max_num_seqs)
    images = np.arange(max_num_seqs + 1, dtype=np.float64)
    microseconds = engine.step_overhead_us.value + engine.sequence_overhead_us.value * images
    once = model.image_tflop.value * 1e12
    joules_per_flop, joules_per_byte = dynamic_energy(
        power.tdp_w.value - power.idle_w.value, chip.best_flops(weights), chip.best_bytes_s
    )
    computed = chip.computes(weights)
    return CostTables(
        linear=_steps(model, chip, weights, images),
        sequences=only_where(launches(microseconds * 1e-6), images > 0),
        decode_base=zeros(images.shape),
        decode_per_context=zeros(images.shape),
        prefill_chunk=replace(
            zeros(()), flops=np.array(once), compute_s=np.array(once / _rate(model, chip, chip.sixteen_bit))
        ),
        prefill_pair=zeros(()),
        prefill_context=zeros(()),
        memory=plan,
        request_overhead_s=engine.request_overhead_ms.value * 1e-3,
        token_overhead_s=engine.token_overhead_us.value * 1e-6,
        async_scheduling=engine.async_scheduling,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_seqs,
        chips=1,
        peak_flops=chip.peak_flops(weights),
        peak_bytes_s=chip.peak_bytes_s,
        idle_w=power.idle_w.value,
        tdp_w=power.tdp_w.value,
        joules_per_flop=joules_per_flop,
        joules_per_byte=joules_per_byte,
        load_s=plan.weight_bytes / (hardware.load_gb_s.value * 1e9),
        provision_s=hardware.provision_s.value,
        initialise_s=engine.initialise_s.value,
        max_context=NO_LIMIT,
        notes=[] if computed == weights else [f"{hardware.name} stores {weights} weights and computes in {computed}"],
    )


def _rate(model: Diffusion, chip: Chip, stored: Dtype) -> float:
    """Arithmetic rate of the denoiser [FLOP/s]."""
    return chip.matmul_flops(stored) * model.rate_share.value


def _steps(model: Diffusion, chip: Chip, weights: Dtype, images: Array) -> Work:
    """A step, by images in it."""
    flops = model.step_tflop.value * 1e12 * images
    read = model.parameters_b.value * 1e9 * BYTES_PER_ELEMENT[weights]
    moved = read + model.step_gb.value * 1e9 * images
    compute, memory = flops / _rate(model, chip, weights), moved / chip.weight_bytes_s
    longer = np.maximum(compute, memory)
    seconds = longer * (1.0 + (np.minimum(compute, memory) / longer) ** chip.overlap) ** (1.0 / chip.overlap)
    work = Work(
        flops=flops,
        memory_bytes=moved,
        network_bytes=np.zeros_like(images),
        compute_s=np.where(compute >= memory, seconds, 0.0),
        memory_s=np.where(compute >= memory, 0.0, seconds),
        network_s=np.zeros_like(images),
        launch_s=np.full_like(images, model.step_kernels.value * chip.floor_s),
    )
    return only_where(work, images > 0)


def _plan(model: Diffusion, chip: Chip, engine: Engine, weights: Dtype, most: int) -> MemoryPlan:
    """Weights, and the images of a batch."""
    held = (model.parameters_b.value * BYTES_PER_ELEMENT[weights] + model.other_parameters_b.value * 2.0) * 1e9
    usable, image = chip.capacity_bytes * engine.memory_fraction.value, model.image_gb.value * 1e9
    if held + most * image > usable:
        fits = int((usable - held) // image)
        what = f"{model.name} in {weights} does not fit {chip.hardware.name} with {most} images at once"
        sizes = f"weights {held / 1e9:.1f} GB and {image / 1e9:.1f} GB an image exceed {usable / 1e9:.1f} GB"
        ways = f"batching.max_num_seqs {fits}" if fits > 0 else "a chip with more memory, or smaller weights"
        raise DoesNotFit(f"{what}: {sizes}; what would fit: {ways}")
    return MemoryPlan(
        chips=1,
        capacity_bytes=chip.capacity_bytes,
        usable_bytes=usable,
        weight_bytes=held,
        reserve_bytes=most * image,
        kv_bytes_per_token=0.0,
        block_size=1,
        blocks=0,
        full_blocks=0,
    )
