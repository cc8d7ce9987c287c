"""Engines that take new requests every so many steps only, as batching policies of the compiled loop.

SGLang's `--scheduler-recv-interval` looks for requests now and then; TensorRT-LLM with data-parallel attention holds
prompts back until all ranks have one or a number of steps has gone by (`attention_dp_config.timeout_iters`). What came
meanwhile is prefilled together, so prompts wait for half of the interval and stop the others less often. A batch that is
empty takes them at once. Not here: who was started so (`silicon_rows.py`), serving (`resimulation.py`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from infersim.dataplane import abi

ANYBODY, NOBODY = 1, 0


@lru_cache
def polled(steps: int, beside: bool) -> Callable:
    """The compiled policy that takes requests every `steps` steps, their prompts `beside` decoding or before it."""

    def shape(pool: int, replica: Any) -> tuple[int, int, int]:
        if replica.prefilling_tokens > 0 or replica.running == 0 or replica.steps % steps == 0:
            return replica.max_num_batched_tokens, beside, ANYBODY
        return 0, True, NOBODY

    return abi.compiled_policy(shape, abi.SHAPE)
