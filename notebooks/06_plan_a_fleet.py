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
# # 06 Plan a fleet
#
# **Which fleet meets the SLO for the least money, and why do the others lose?**

# %%
import infersim

# %% [markdown]
# A plan asks every combination of chip, layout and price, prunes by what physics allows, simulates the rest, and confirms the
# best with other seeds. Here three chips; without `hardware` it asks every chip that has a published price.

# %%
found = infersim.plan(
    "chat_70b",
    {
        "hardware": ["h100-sxm", "mi300x", "l40s"],
        "tensor": [2, 4],
        "weights": ["fp8"],
        "tier": ["on_demand", "neocloud"],
    },
    settings=["horizon_s=400"],
)
columns = ["candidate", "replicas", "chips", "usd_per_hour", "margin", "ttft_p99_s", "tpot_p99_s"]
found.ranking[[name for name in columns if name in found.ranking]]

# %%
found.losers[["candidate", "why"]].head(10)

# %% [markdown]
# ## How full may it be?
# The cost curve of the winner's kind: dollars fall with the load until latency breaks the SLO.

# %%
curve = infersim.curve("h100_llama70b", settings=["horizon_s=200"])
curve.marks.T

# %%
axes = curve.table.plot(
    x="load_rps",
    y="cost.usd_per_million_output_tokens",
    marker="o",
    legend=False,
    ylabel="USD for a million output tokens",
)
axes.axvline(curve.marks["slo_rps"][0], ls="--", color="grey")
axes.set_title("dashed: the greatest load within the SLO")
# %% [markdown]
# ## What moves the answer?

# %%
tornado = infersim.sensitivity("h100_llama70b", settings=["horizon_s=100"])
tornado.table.head(8)

# %% [markdown]
# **Try next**: your own trace and prices (`pools.0.price.usd_per_chip_hour=2.5`), `infersim plan SCENARIO --each-chip`,
# `infersim breakeven`. Then 07, to make the profile yours.
