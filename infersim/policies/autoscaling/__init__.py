"""Autoscalers: how many replicas a pool should have. Read `registry.py` for what one is, then any of the others."""

from infersim.policies.autoscaling import feedback, forecast, hpa, keda, kpa, oracle, queueing, targets  # noqa: F401
from infersim.policies.autoscaling.registry import AUTOSCALERS, Autoscaler, Registered, autoscaling
from infersim.policies.autoscaling.view import Facts, Reading, View

__all__ = ["AUTOSCALERS", "Autoscaler", "Facts", "Reading", "Registered", "View", "autoscaling"]
