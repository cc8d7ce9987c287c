# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 Write your own policy
#
# **Can my own router and autoscaler do better than the shipped ones, and what if replicas die?**
#
# A policy is a function or a class in a Python file that the scenario names. It sees what a real one would see, and is held
# to the same laws.

# %%
import tempfile
from pathlib import Path

import infersim

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A router
# It is compiled, as the loop is, and asked for every request. It gets the request, the replicas' signals, and which of them may
# be chosen. This one weighs the prompt tokens that wait against the KV blocks that are taken.

# %%
ROUTER = """
from infersim import routing


@routing
def shortest_wait(request, replicas, routable, memory):
    \"\"\"The replica with the fewest prompt tokens in its queue; on ties the emptiest.\"\"\"
    best, least = routable[0], 1e300
    for r in routable:
        wait = replicas[r].queued_tokens + 50.0 * replicas[r].outstanding
        if wait < least:
            best, least = r, wait
    return best
"""

# %% [markdown]
# ## An autoscaler
# An ordinary class: `desired` is asked every `interval_s` and answers how many replicas it wants. This one keeps a spare.

# %%
AUTOSCALER = """
from infersim import autoscaling


@autoscaling
class KeepOneSpare:
    \"\"\"As many replicas as hold `target` requests in flight each, and one more.\"\"\"

    def __init__(self, target: float) -> None:
        self.target = target

    def desired(self, view) -> float:
        return view.in_flight / self.target + 1
"""
(folder / "mine.py").write_text(ROUTER + AUTOSCALER)

# %% [markdown]
# The scenario names the file, and then the policies like any other.

# %%
settings = ["horizon_s=1800", f"plugins=[{folder / 'mine.py'}]"]
shipped = infersim.load_scenario("chat_burst", ["horizon_s=1800"])
routed = infersim.load_scenario("chat_burst", [*settings, "router.policy=shortest_wait"])
scaled = infersim.load_scenario(
    "chat_burst",
    [
        *settings,
        "router.policy=shortest_wait",
        "pools.h100.autoscaler={policy: keep_one_spare, target: 48, interval_s: 15}",
    ],
)
for name, scenario in (("shipped", shipped), ("own router", routed), ("own router and autoscaler", scaled)):
    summary = infersim.simulate(scenario).summary
    print(
        f"{name:>26}: TTFT p99 {summary['latency']['ttft_s']['p99']:5.1f} s, {summary['slo']['attainment']:6.1%} within the SLO, "
        f"${summary['cost']['total_usd']:.2f}"
    )

# %% [markdown]
# ## Mistakes
# A policy that answers nonsense is told so, with the request and the time.

# %%
(folder / "wrong.py").write_text(
    "from infersim import routing\n\n\n@routing\ndef nowhere(request, replicas, routable, memory):\n    return -1\n"
)
try:
    infersim.simulate(
        infersim.load_scenario(
            "chat_burst", ["horizon_s=60", f"plugins=[{folder / 'wrong.py'}]", "router.policy=nowhere"]
        )
    )
except Exception as error:
    print(error)

# %% [markdown]
# ## How steps are formed
# Batching and the order of a queue are policies too, and a function in a notebook will do. This one decodes first and lets only
# as many prompt tokens in as keep a step short.


# %%
@infersim.batching
def short_steps(replica):
    """512 prompt tokens a step while anybody decodes."""
    return (512 if replica.decoding else replica.max_num_batched_tokens), True, 1


@infersim.ordering
def small_first(request):
    """Short prompts first."""
    return float(request.input_tokens)


base = ["horizon_s=200", "workload.arrivals.rate_rps=8"]
for name, extra in (
    ("chunks of 8,192 (vLLM V1)", []),
    ("prompts first (vLLM V0)", ["pools.0.batching.policy=prefill_first"]),
    ("own: short steps", ["pools.0.batching.policy=short_steps"]),
    ("own: short steps, short prompts first", ["pools.0.batching.policy=short_steps", "pools.0.queue=small_first"]),
):
    latency = infersim.simulate(infersim.load_scenario("h100_llama70b", [*base, *extra])).summary["latency"]
    itl, ttft = latency["itl_s"]["p99"] * 1000, latency["ttft_s"]["p99"] * 1000
    print(f"{name:>38}: ITL p99 {itl:4.0f} ms, TTFT p99 {ttft:6.0f} ms")

# %% [markdown]
# ## A process that breaks things
# Whatever happens in a datacentre is a SimPy process. Yours gets the environment and the datacentre, and may open, drain, slow or
# fail replicas. Here the fullest one dies every two minutes, with all that it serves.


# %%
@infersim.process
def chaos(env, datacenter, every_s=120):
    """Now and then the fullest replica dies."""
    pool = datacenter.pools["h100"]
    while True:
        yield env.timeout(every_s)
        if pool.ready:
            pool.fail(max(pool.replicas, key=lambda replica: replica.outstanding), "chaos")


broken = infersim.simulate(infersim.load_scenario("chat_burst", ["horizon_s=900", "processes=[chaos]"]))
calm = infersim.simulate(infersim.load_scenario("chat_burst", ["horizon_s=900"]))
for name, result in (("calm", calm), ("with chaos", broken)):
    ttft = result.summary["latency"]["ttft_s"]["p99"]
    print(f"{name:>10}: TTFT p99 {ttft:5.1f} s, {result.summary['slo']['attainment']:6.1%} within the SLO")
broken.events[broken.events["kind"].isin(["failed", "ready"])].head(8)

# %% [markdown]
# **Try next**: read a shipped router (`infersim/policies/routing.py`) or autoscaler (`infersim/policies/autoscaling/`) and change it;
# `CONTRIBUTING.md` has the recipe to ship one. Then 06, to plan a fleet.
