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
# # 08 The claims
#
# **Which of the numbers that are said of inference hold, and under which conditions?**

# %%
import pandas as pd

from infersim.studies.claims import CLAIMS, settle

pd.set_option("display.max_colwidth", 110)
pd.DataFrame([{"claim": claim.number, "said": claim.text, "by": claim.source} for claim in CLAIMS]).set_index("claim")

# %% [markdown]
# ## One of them
# *No inter-chip overhead on one wafer.* Cases are scenarios with settings; each is measured at a load that is found first (here:
# a lone user), and again with links that take no time.

# %%
wafers = settle([9], replications=2)
for line in wafers.numbers(9):
    print("-", line)

# %%
wafers.claims.set_index("claim")[["verdict", "conditions", "unless", "estimated"]].T

# %% [markdown]
# ## Another
# *The Ascend 910C reaches 60 % of an H100.* The intervals are those of other seeds and of profiles drawn from within their spreads: a
# verdict that turns within them is not sure, and says so.

# %%
ascend = settle([6], replications=3)
ascend.checks[["when", "value", "low", "high", "claimed", "holds", "sure"]].round(2)

# %% [markdown]
# ## Your own
# A claim is a few cases and checks. *"Half the chips in fp8 do what all of them do in 16 bit":*

# %%
from infersim.studies.claims.case import on
from infersim.studies.claims.claim import at_least
from infersim.studies.claims.measure import Task, measure

cases = {
    "fp8 on 2": on("fp8 on 2", "12_optimised_stack", "h100-sxm", tensor=2, weights="fp8", kv="fp8"),
    "bf16 on 4": on("bf16 on 4", "12_optimised_stack", "h100-sxm", tensor=4, weights="bf16"),
}
speed = {name: measure(Task(case, 0, None)).row["throughput.output_tokens_per_s"] for name, case in cases.items()}
claimed = at_least(1)
share = speed["fp8 on 2"] / speed["bf16 on 4"]
print(f"{share:.2f} of the tokens: {'holds' if claimed.holds(share) else 'does not hold'}")

# %% [markdown]
# **Try next**: `infersim claims` for all twenty, with a run directory behind each number; the definitions in
# `infersim/studies/claims/`; a claim of your own.
