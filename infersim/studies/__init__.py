"""Many runs: sweep, curve, plan, compare, check. Everything here goes through `simulate`; nothing here is a simulation.

Read `sweep.py` first, then `tasks.py` (how many runs share processes) and `curve.py`.
"""
