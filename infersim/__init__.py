"""infersim: a discrete-event simulator of datacentres that serve AI models.

    import infersim
    result = infersim.simulate("chat_burst")      # a shipped scenario, a file, or a mapping
    result.requests["ttft_s"].quantile(0.99)      # pandas
    result.save("runs/first")

Importing this compiles nothing and loads nothing heavy; names are found when they are first used.
"""

from typing import TYPE_CHECKING, Any

from infersim.simulate import simulate  # light; the function, not the module of the same name

__version__ = "0.1.0"
__all__ = [
    "Result",
    "Scenario",
    "autoscaling",
    "batching",
    "breakeven",
    "check",
    "compare",
    "compare_hardware",
    "curve",
    "load_scenario",
    "ordering",
    "plan",
    "process",
    "read_run",
    "routing",
    "sensitivity",
    "shootout",
    "simulate",
    "sweep",
]

_WHERE = {
    "Result": "infersim.results.result",
    "Scenario": "infersim.spec.scenario",
    "autoscaling": "infersim.policies.autoscaling",
    "batching": "infersim.policies.batching",
    "breakeven": "infersim.studies.breakeven",
    "check": "infersim.studies.regression",
    "compare": "infersim.studies.compare",
    "compare_hardware": "infersim.studies.chips",
    "curve": "infersim.studies.curve",
    "load_scenario": "infersim.spec.load",
    "ordering": "infersim.policies.ordering",
    "plan": "infersim.studies.plan",
    "process": "infersim.policies.processes",
    "read_run": "infersim.results.directory",
    "routing": "infersim.policies.routing",
    "sensitivity": "infersim.studies.sensitivity",
    "shootout": "infersim.studies.shootout",
    "sweep": "infersim.studies.sweep",
}

if TYPE_CHECKING:
    from infersim.policies.autoscaling import autoscaling
    from infersim.policies.batching import batching
    from infersim.policies.ordering import ordering
    from infersim.policies.processes import process
    from infersim.policies.routing import routing
    from infersim.results.directory import read_run
    from infersim.results.result import Result
    from infersim.spec.load import load_scenario
    from infersim.spec.scenario import Scenario
    from infersim.studies.breakeven import breakeven
    from infersim.studies.chips import compare_hardware
    from infersim.studies.compare import compare
    from infersim.studies.curve import curve
    from infersim.studies.plan import plan
    from infersim.studies.regression import check
    from infersim.studies.sensitivity import sensitivity
    from infersim.studies.shootout import shootout
    from infersim.studies.sweep import sweep


def __getattr__(name: str) -> Any:
    """A public name, imported on first use."""
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'infersim' has no attribute {name!r}; it has {', '.join(__all__)}")
