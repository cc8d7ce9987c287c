"""The compiled loop gives the same bytes as the same source in plain Python, in which every index is checked.

So nothing hangs on what a compiler makes of it, and no array is read beyond its bounds. About 60 ms a case: the cases are few,
and each technique is among them. Not here: what the bytes must be (`test_twin.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infersim.dataplane.records import OUTCOME
from tests.twin import compiled
from tests.twin.cases import SCENARIOS, random_case
from tests.twin.choices import choices_of, kinds
from tests.twin.guarded import guard

SEEDS = range(SCENARIOS, SCENARIOS + 200)


def test_plain_python_gives_the_same_bytes():
    cases = [random_case(seed) for seed in SEEDS]
    there = {choice for case in cases for pool in case.pools for choice in choices_of(case, pool)}
    assert there == {choice for kind in kinds(cases[0]) for choice in kind}
    program = [sys.executable, "-m", "tests.twin.guarded", str(SEEDS.start), str(SEEDS.stop)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    root = Path(__file__).parents[2]
    result = subprocess.run(program, cwd=root, env=environment, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    interpreted = np.frombuffer(result.stdout, OUTCOME)
    here = np.concatenate([compiled.simulate(case).outcomes for case in cases])
    for name in OUTCOME.names:
        np.testing.assert_array_equal(interpreted[name], here[name], err_msg=name)
    assert result.stdout == here.tobytes()


@pytest.mark.parametrize("key", [-1, np.int64(-1), 3, (-1, 0)])
@pytest.mark.parametrize("array", [np.zeros(3), np.zeros(3, OUTCOME).view(np.recarray), np.zeros((3, 3))])
def test_an_index_out_of_bounds_is_noticed(array: np.ndarray, key: object):
    checked = guard(array)
    assert checked[2] is not None
    with pytest.raises(IndexError):
        checked[key]
