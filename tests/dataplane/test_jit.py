"""What the loop may take for granted of its indexes, others' functions may not."""

import numba
import numpy as np
import pytest

from infersim.dataplane.jit import counting_forwards


def test_other_functions_count_from_the_end() -> None:
    with pytest.raises(ZeroDivisionError), counting_forwards():
        raise ZeroDivisionError
    assert numba.njit(lambda values: values[-1])(np.arange(3)) == 2
