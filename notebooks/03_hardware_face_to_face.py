# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 Hardware face to face
#
# **Which chip gives a token for the least money, and at which batch?**

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import infersim
from infersim.spec import catalogue

CHIPS = ("h100-sxm", "b200-sxm", "mi300x", "l40s", "tpu-v6e", "inferentia2")

# %% [markdown]
# ## Rooflines
# A chip does no more than its peak, and reads no faster than its memory. Where the two meet is the ridge: with fewer FLOPs for
# each byte, memory binds. Decoding one sequence does about 2 FLOP for each 16-bit weight read: 1 FLOP/B, far left of any ridge.

# %%
work = np.logspace(-1, 4, 200)
rows = []
for name in CHIPS:
    chip = catalogue.hardware(name)
    peak, bandwidth = chip.peak_tflops["bf16"].value, chip.memory.bandwidth_gb_s.value
    plt.loglog(work, np.minimum(peak, work * bandwidth / 1000), label=name)
    rows.append({"chip": name, "TFLOP/s": peak, "GB/s": bandwidth, "ridge [FLOP/B]": 1000 * peak / bandwidth})
plt.xlabel("FLOPs for each byte read")
plt.ylabel("TFLOP/s")
plt.legend()
pd.DataFrame(rows).set_index("chip").round(0)

# %% [markdown]
# ## Cost per token against batch
# More sequences in a step share the reading of the weights, until arithmetic or the KV cache binds. Here 8B in 16 bit is
# overloaded, with ever larger batches.

# %%
ENGINES = {"tpu-v6e": "jetstream", "inferentia2": "neuron"}
curves = {}
for name in ("h100-sxm", "l40s", "inferentia2"):
    settings = [
        f"pools.0.hardware={name}", f"pools.0.engine={ENGINES.get(name, 'vllm')}", "pools.0.precision={weights: bf16, kv_cache: bf16}",
        "horizon_s=30", "workload.arrivals.rate_rps=30",
    ]  # fmt: skip
    found = infersim.sweep("l40s_llama8b", {"pools.0.batching.max_num_seqs": [1, 8, 64]}, settings=settings)
    curves[name] = found.table.set_index("pools.0.batching.max_num_seqs")
for name, table in curves.items():
    plt.loglog(table.index, table["cost.usd_per_million_output_tokens"], "o-", label=name)
plt.xlabel("most sequences in a step")
plt.ylabel("USD for a million output tokens")
plt.legend()
# %% [markdown]
# The price of that is latency: each token waits for all the others of its step.

# %%
pd.DataFrame({name: table["latency.tpot_s.p50"] * 1000 for name, table in curves.items()}).round(1)

# %% [markdown]
# How far to trust it: every number has a grade and a source.

# %%
chip = catalogue.hardware("inferentia2")
for name in ("matmul_memory", "attention_compute"):
    number = getattr(chip.efficiency, name)
    print(f"{name}: {number.value} ({number.grade}, ± {number.spread:.0%}): {number.source}")

# %% [markdown]
# **Try next**: `infersim hardware compare h100-sxm mi300x`, a chip of your own (copy a profile, change the numbers, give its
# path), `infersim breakeven` for the price at which two chips are even. Then 04, for traffic that does not stand still.
