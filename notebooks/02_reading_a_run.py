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
# # 02 Reading a run
#
# **Why was this run slow, and where did the money go?**

# %%
import tempfile
from pathlib import Path

import duckdb
import matplotlib.pyplot as plt

import infersim
from infersim.results.explain import explain
from infersim.results.plots import plot_cost, plot_latency, plot_load, plot_queue

result = infersim.simulate(infersim.load_scenario("chat_burst", ["horizon_s=1800"]))

# %% [markdown]
# infersim says it in words first.

# %%
explain(result)

# %% [markdown]
# The same in pictures: what came, what waited, how long, and what it cost.

# %%
figure, ((load, queue), (latency, cost)) = plt.subplots(2, 2, figsize=(13, 7), layout="constrained")
plot_load(result.requests, result.timeline, load)
plot_queue(result.timeline, queue)
plot_latency(result.requests, "ttft_s", 0.5, latency)
plot_cost(result.timeline, cost)

# %% [markdown]
# The story of the request that waited longest for its first token:

# %%
slowest = int(result.requests.loc[result.requests["ttft_s"].idxmax(), "id"])
explain(result, request=slowest)

# %% [markdown]
# Where the mean latency went: the spans of every request sum to its latency.

# %%
spans = [name for name in result.requests.columns if name in result.summary["mean_spans_s"]]
result.summary["mean_spans_s"]

# %% [markdown]
# A saved run is four Parquet files, so any engine reads it. With DuckDB, latency by five minutes:

# %%
with tempfile.TemporaryDirectory() as folder:
    run = result.save(Path(folder) / "run", plots=False)
    table = duckdb.sql(f"""
        SELECT floor(arrival_s / 300)::INT * 5 AS minute,
               count(*) AS requests,
               round(quantile_cont(ttft_s, 0.99), 2) AS ttft_p99_s,
               round(avg(slo_met::INT), 3) AS attainment
        FROM '{run}/requests.parquet' WHERE status = 'finished'
        GROUP BY minute ORDER BY minute
    """).df()
table

# %% [markdown]
# **Try next**: `infersim report RUN` for one page with all of it, `infersim compare RUN RUN` for what a change did span by
# span, `infersim export RUN --format perfetto` for a timeline to zoom. Then 03, to set chips face to face.
