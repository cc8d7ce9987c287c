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
# # 04 Bursts and autoscalers
#
# **How does an autoscaler meet a viral spike, and what do cold starts cost?**

# %%
import matplotlib.pyplot as plt

import infersim
from infersim.results.plots import plot_load

SPIKE = "claims/15_viral_spike"

# %% [markdown]
# Ten times the traffic within half a minute. The autoscaler asks for replicas at once; they come when a machine was found and the
# weights are loaded.

# %%
result = infersim.simulate(SPIKE)
figure, axes = plt.subplots(2, 1, figsize=(11, 6), sharex=True, layout="constrained")
plot_load(result.requests, result.timeline, axes[0])
result.timeline.plot(x="time_s", y=["ready", "starting"], ax=axes[1], ylabel="replicas")
result

# %% [markdown]
# ## Policies
# The same spike under four of the shipped autoscalers.

# %%
policies = {
    "in flight": "{policy: target_concurrency, target: 12, interval_s: 5, down_cooldown_s: 300}",
    "Knative": "{policy: knative_kpa, target: 16}",
    "HPA": "{policy: kubernetes_hpa, target: 12}",
    "SLO feedback": "{policy: slo_feedback, interval_s: 15}",
}
runs = {
    name: infersim.simulate(infersim.load_scenario(SPIKE, [f"pools.main.autoscaler={policy}"]))
    for name, policy in policies.items()
}
for name, run in runs.items():
    summary = run.summary
    print(
        f"{name:>12}: {summary['slo']['attainment']:6.1%} within the SLO, ${summary['cost']['total_usd']:6.2f}, "
        f"{summary['pools']['main']['replicas']['leased']} machines leased"
    )

# %% [markdown]
# Every run with an autoscaler says what perfect foresight would have paid at least:

# %%
runs["in flight"].summary["oracle"]

# %% [markdown]
# ## A reserve
# Replicas that wait for the spike cost money every hour that it does not come.

# %%
table = infersim.sweep(
    SPIKE, {"pools.main.replicas.min": [1, 4, 8, 12]}, settings=["pools.main.replicas.initial=12"]
).table
table[["pools.main.replicas.min", "slo.attainment", "latency.ttft_s.p99", "cost.total_usd"]].round(2)

# %% [markdown]
# **Try next**: a week with `infersim run diurnal_week`, a real hour with `infersim run azure_conversation --trace ...`, the
# autoscaler `oracle`, and 05, to write your own.
