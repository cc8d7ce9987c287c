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
# # 01 First run
#
# **What does an hour of bursty chat cost on H100, and how long do people wait?**
#
# A scenario says which model, on which chips, with which traffic, at which prices. `simulate` runs it, in about a second.

# %%
import tempfile
from pathlib import Path

import infersim

result = infersim.simulate("chat_burst")
result

# %% [markdown]
# That was Llama 3.1 70B on four H100 a replica, with an autoscaler. Everything that happened is in frames, one row a request:

# %%
result.requests[["arrival_s", "input_tokens", "output_tokens", "ttft_s", "tpot_s", "e2e_s", "slo_met"]].describe()

# %% [markdown]
# People wait when the bursts come: the time to the first token, minute by minute.

# %%
minute = (result.requests["arrival_s"] // 60).rename("minute")
waiting = result.requests.groupby(minute)["ttft_s"].quantile(0.99)
waiting.plot(ylabel="TTFT p99 [s]", title="Bursts arrive faster than replicas")
# %% [markdown]
# What would more replicas from the start do? Any value can be changed, as `--set` does on the command line.

# %%
steady = infersim.simulate(
    infersim.load_scenario("chat_burst", ["pools.h100.replicas.initial=4", "pools.h100.replicas.min=4"])
)
for name, run in (("as it stands", result), ("four from the start", steady)):
    cost, slo = run.summary["cost"], run.summary["slo"]
    print(f"{name:>20}: ${cost['total_usd']:.2f}, {slo['attainment']:.1%} of the requests within the SLO")

# %% [markdown]
# A run directory keeps all of it, with checksums, and reads back as it was written.

# %%
with tempfile.TemporaryDirectory() as folder:
    result.save(Path(folder) / "run")
    again = infersim.read_run(Path(folder) / "run")
    print(sorted(path.name for path in (Path(folder) / "run").iterdir()))
assert again.summary["cost"]["total_usd"] == result.summary["cost"]["total_usd"]

# %% [markdown]
# **Try next**: another seed (`infersim.simulate("chat_burst", seed=2)`), another chip
# (`pools.h100.hardware=mi300x`), another shipped scenario (`infersim scenarios` lists them). Then 02, to read a run.
