"""What clients and services cannot do: each says where, what was found and what would be right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infersim.spec.errors import SpecError
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from tests.spec.conftest import SCENARIO, line_of
from tests.spec.test_bad_techniques import DECODE, PREFILL, with_line, with_pools


def of_all(line: str) -> str:
    """The scenario with one line more in its workload."""
    return SCENARIO.replace("workload:\n", f"workload:\n  {line}\n")


def of_service(line: str) -> str:
    return SCENARIO.replace("workload:\n", f"{line}\nworkload:\n")


# the scenario, a fragment on the line that is wrong, key path, what was found, what would be right
CASES = {
    "patience for nothing": (
        of_all("patience: {}"), "patience", "workload.patience.timeout_s", "is missing", "give timeout_s, ttft_timeout_s or both"),
    "a first token after the end": (
        of_all("patience: {timeout_s: 10, ttft_timeout_s: 20}"), "patience", "workload.patience.ttft_timeout_s",
        "found 20, but timeout_s 10 ends the attempt before", "use less"),
    "no patience at all": (
        of_all("patience: {timeout_s: 0}"), "patience", "workload.patience.timeout_s", "found 0", "more than 0"),
    "nobody tries": (
        of_all("retries: {max_attempts: 0}"), "retries", "workload.retries.max_attempts", "found 0", "at least 1"),
    "pauses that shrink": (
        of_all("retries: {multiplier: 0.5}"), "retries", "workload.retries.multiplier", "found 0.5", "at least 1"),
    "a shortest pause above the longest": (
        of_all("retries: {backoff_s: 30}"), "retries", "workload.retries.max_backoff_s", "found 8, less than backoff_s 30", "at least that"),
    "more chance than pause": (
        of_all("retries: {jitter: 2}"), "retries", "workload.retries.jitter", "found 2", "at most 1"),
    "a limit without a rate": (
        of_all("rate_limit: {burst_tokens: 5}"), "rate_limit", "workload.rate_limit.tokens_per_s", "is missing", ""),
    "a bucket that holds nothing": (
        of_all("rate_limit: {tokens_per_s: 5, burst_tokens: 0}"), "rate_limit", "workload.rate_limit.burst_tokens", "found 0", "more than 0"),
    "a word for a limit": (
        of_all("rate_limit: {tokens_per_s: 5k}"), "rate_limit", "workload.rate_limit.tokens_per_s", "found the text 5k", "write 5 without k"),
    "a service that takes nobody": (
        of_service("admission: {max_queued: 0}"), "admission", "admission.max_queued", "found 0", "at least 1"),
    "a service in a hurry": (
        of_service("admission: {max_wait_s: -1}"), "admission", "admission.max_wait_s", "found -1", "more than 0"),
    "a misspelt limit": (
        of_service("admission: {max_que: 3}"), "admission", "admission.max_que", "unknown key", "max_queued"),
    "less than one for each cell": (
        of_service("admission: {max_queued: 2}\ncells: 3").replace("replicas: {", "replicas: {initial: 3, max: 9} #"),
        "admission", "admission.max_queued", "found 2 for 3 cells", "at least one"),
    "a queue without room": (
        with_line("queue: {max_queued: 0}"), "queue", "pools[0].queue.max_queued", "found 0", "at least 1"),
    "no work at all": (
        with_line("queue: {max_queued_work_s: 0}"), "queue", "pools[0].queue.max_queued_work_s", "found 0", "more than 0"),
    "a limit where nothing arrives": (
        with_pools(PREFILL, (*DECODE, "queue: {max_queued: 3}")), "queue", "pools[1].queue.max_queued",
        "a decode pool receives what was let in", "limit the prefill pools"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message_says_where_what_and_how(case: str, write: Callable[[str], Path]) -> None:
    text, fragment, key, found, advice = CASES[case]
    path = write(text)
    with pytest.raises(SpecError) as caught:
        resolve(load_scenario(path))
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{path}:{line_of(text, fragment)}: {key}: "), first
    assert found in first
    assert advice in first


@pytest.mark.parametrize(
    "text",
    [
        of_all("patience: {ttft_timeout_s: 5}"),
        of_all("retries: {}"),
        of_all("rate_limit: {tokens_per_s: 1000}"),
        of_service("admission: {max_queued: 1, max_wait_s: 0.1}"),
        with_line("queue: {order: priority, max_queued: 1, max_queued_work_s: 2}"),
        with_pools((*PREFILL, "queue: {max_queued: 3}"), DECODE),
    ],
)
def test_what_is_right_next_to_it(text: str, write: Callable[[str], Path]) -> None:
    resolve(load_scenario(write(text)))
