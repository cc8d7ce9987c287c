"""A small scenario that runs in a moment, with a plugin file beside it. Not here: what must hold (`test_*.py`)."""

from pathlib import Path
from textwrap import dedent

SCENARIO = """\
name: small
model: llama-3.1-8b
horizon_s: 60
seed: 1
workload:
  arrivals: {process: poisson, rate_rps: 3}
  input_tokens: {distribution: lognormal, mean: 400, p99: 1600}
  output_tokens: {distribution: lognormal, mean: 50, p99: 200}
router:
  policy: ROUTER
pools:
  - name: chat
    hardware: l40s
    precision: {weights: fp8, kv_cache: fp8}
    replicas: {initial: 3, min: 1, max: 6}
    autoscaler:
      policy: AUTOSCALER
      target: 8
      interval_s: 5
plugins: PLUGINS
"""


def scenario(
    folder: Path, *plugins: str, router: str = "least_outstanding", autoscaler: str = "target_concurrency"
) -> Path:
    """Write the scenario, and beside it each plugin's source as mine0.py, mine1.py ..."""
    names = [f"mine{number}.py" for number in range(len(plugins))]
    for name, source in zip(names, plugins, strict=True):
        (folder / name).write_text(dedent(source).lstrip("\n"))
    text = SCENARIO.replace("ROUTER", router).replace("AUTOSCALER", autoscaler).replace("PLUGINS", str(names))
    path = folder / "small.yaml"
    path.write_text(text)
    return path
