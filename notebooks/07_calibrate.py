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
# # 07 Calibrate to your own benchmark
#
# **My H100 are slower than the profile says. By which number, and does the fit predict runs that it has not seen?**
#
# `infersim calibrate` reads the JSON of `vllm bench serve`, AIPerf, GuideLLM and inference-perf. Here we make such files: of a
# chip whose memory gives a tenth less than the profile's share, which the fit must find out from latencies alone.

# %%
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import infersim
from infersim.spec import catalogue
from infersim.spec.profile import profile_yaml
from infersim.studies.bench_files import Deployed, read_bench
from infersim.studies.calibration import calibrate

folder = Path(tempfile.mkdtemp())
chip = catalogue.hardware("h100-sxm")
memory = chip.efficiency.matmul_memory
slower = chip.model_copy(
    update={"name": "my-h100", "efficiency": chip.efficiency.model_copy(
        update={"matmul_memory": memory.model_copy(update={"value": 0.85 * memory.value})}
    )}
)  # fmt: skip
(folder / "my-h100.yaml").write_text(profile_yaml(slower, "what my machine really is"))
memory.value, 0.85 * memory.value

# %% [markdown]
# ## Benchmarks
# Four models, a single user, as `vllm bench serve` would write them down. (With a machine at hand: run the benchmark instead.)

# %%
MODELS = ("llama-3.1-8b", "mistral-nemo", "phi-4", "qwen3-14b")


def bench(model: str, prompt: int = 256, output: int = 64) -> Path:
    """Eight requests, one after the other, and what a client saw."""
    requests = 8
    scenario = infersim.load_scenario(
        "h100_llama70b",
        [f"model={model}", f"pools.0.hardware={folder / 'my-h100.yaml'}", "pools.0.parallelism.tensor=1", "pools.0.precision={weights: bf16, kv_cache: bf16}",
         "horizon_s=800", "workload.arrivals={process: gamma, rate_rps: 0.02, cv: 0.01}",
         f"workload.input_tokens={{distribution: constant, value: {prompt}}}",
         f"workload.output_tokens={{distribution: constant, value: {output}}}"],
    )  # fmt: skip
    latency = infersim.simulate(scenario).summary["latency"]
    file = folder / f"{model}.json"
    file.write_text(json.dumps({
        "completed": requests, "total_input_tokens": requests * prompt, "total_output_tokens": requests * output, "max_concurrency": 1,
        "request_rate": "inf", "output_throughput": output / latency["e2e_s"]["mean"], "mean_ttft_ms": 1000 * latency["ttft_s"]["mean"], "mean_tpot_ms": 1000 * latency["tpot_s"]["mean"],
    }))  # fmt: skip
    return file


vllm = catalogue.engine("vllm")
cases = []
for model in MODELS:
    deployed = Deployed(catalogue.model(model), chip, vllm)
    cases += [replace(case, group=model) for case in read_bench(bench(model), deployed)]
print(json.loads((folder / "phi-4.json").read_text()))

# %% [markdown]
# ## The fit
# Every knob has a prior, the profile's own spread; one that the data say nothing of stays where it was, and is said to.

# %%
fitted = calibrate(cases)
for knob in fitted.knobs:
    print(
        f"{knob.name:>32}: {knob.before:.4g} -> {knob.after:.4g} ± {knob.spread:.0%} {'identified' if knob.identified else ''}"
    )
before, after = fitted.left_out_error_pct
print(f"\nmedian error on a model that was left out: {before:.1f} % before, {after:.1f} % after")

# %% [markdown]
# The fitted profile is a file like any other, and scenarios name it by its path.

# %%
(folder / "fitted.yaml").write_text(profile_yaml(fitted.hardware, "Fitted to my benchmarks"))
for name in ("h100-sxm", folder / "fitted.yaml"):
    scenario = infersim.load_scenario("h100_llama70b", ["horizon_s=100", f"pools.0.hardware={name}"])
    print(f"TPOT p50 {1000 * infersim.simulate(scenario).summary['latency']['tpot_s']['p50']:.2f} ms")

# %% [markdown]
# **Try next**: your own files with `infersim calibrate FILE --hardware h100-sxm --out mine.yaml`, more loads (only a full batch tells
# of arithmetic), `infersim validate` on published measurements. Then 08, to put claims to the test.
