"""What is sent because something else has ended, worked out by hand: chains, fans, users in a closed loop.

Every step takes a second, so a request with O output tokens that is alone takes O seconds. Not here: random cases
(`test_twin.py`).
"""

from infersim.dataplane.records import UNANSWERED
from infersim.dataplane.rules import ClientRules
from tests.twin.by_hand import pool, run

FINISHED, REJECTED, LOST, TIMED_OUT = range(4)
FIRST = (-1, 0, 0, 0.0, -1)


def test_a_chain_goes_on_after_the_gap():
    """Each arrives its gap after the one before has ended, and its latency counts from there."""
    rows = [(1.0, 2, 3), (1.0, 2, 2), (1.0, 2, 1)]
    outcomes = run(rows, pool(), sequels=[FIRST, (0, 1, 0, 0.5, -1), (1, 1, 0, 0.0, -1)]).outcomes
    assert outcomes["arrival_s"].tolist() == [1.0, 4.5, 6.5]
    assert outcomes["finish_s"].tolist() == [4.0, 6.5, 7.5]


def test_one_that_joins_waits_for_the_last():
    """0 fans out to 1 and 2, which run side by side for 2 and 4 s; 3 waits for both."""
    rows = [(0.0, 1, 1), (0.0, 1, 2), (0.0, 1, 4), (0.0, 1, 1)]
    fan = [FIRST, (0, 1, 0, 1.0, -1), (0, 1, 0, 1.0, -1), (1, 2, 0, 0.25, -1)]
    assert run(rows, pool(), sequels=fan).outcomes["arrival_s"].tolist() == [0.0, 2.0, 2.0, 6.25]


def test_what_needs_one_that_failed_is_never_sent():
    """0 is too long to be served: 1 comes all the same, 2 does not, nor does 3, which follows 2."""
    rows = [(1.0, 2000, 1), (1.0, 1, 1), (1.0, 1, 1), (1.0, 1, 1)]
    chain = [FIRST, (0, 1, 0, 0.0, -1), (0, 1, UNANSWERED, 0.0, -1), (2, 1, 0, 0.0, -1)]
    outcomes = run(rows, pool(), sequels=chain).outcomes
    assert outcomes["id"].tolist() == [0, 1]
    assert outcomes["status"].tolist() == [REJECTED, FINISHED]
    assert outcomes["finish_s"].tolist() == [1.0, 2.0]


def test_nothing_is_sent_from_the_horizon_on():
    """The first would come at 3 s, which is the horizon; the other at 2.75 s."""
    rows = [(0.0, 1, 2), (0.0, 1, 1), (0.0, 1, 1)]
    pair = [FIRST, (0, 1, 0, 1.0, -1), (0, 1, 0, 0.75, -1)]
    assert run(rows, pool(), sequels=pair, last_arrival_s=3.0).outcomes["id"].tolist() == [0, 2]


def test_what_takes_over_comes_only_after_a_failure_and_whenever_that_is():
    """1 takes over from 0, which is too long, after the horizon; 3 from 2, which is answered, and never comes."""
    rows = [(1.0, 2000, 1), (1.0, 1, 2), (1.0, 1, 1), (1.0, 1, 1)]
    pairs = [FIRST, (0, 1, 1 << FINISHED, 0.5, -1, True), FIRST, (2, 1, 1 << FINISHED, 0.0, -1, True)]
    outcomes = run(rows, pool(), sequels=pairs, last_arrival_s=1.25).outcomes
    assert outcomes["id"].tolist() == [0, 1, 2]
    assert outcomes["arrival_s"].tolist() == [1.0, 1.5, 1.0]
    assert outcomes["finish_s"].tolist() == [1.0, 4.0, 2.0]


def test_a_chain_goes_on_when_the_last_attempt_has_ended():
    """The client gives up after 1.5 s and comes again at once: 1 follows the end of the second attempt, at 3 s."""
    rows = [(0.0, 1, 3), (0.0, 1, 1)]
    clients = (ClientRules(timeout_s=1.5, max_attempts=2),)
    outcomes = run(rows, pool(), clients=clients, sequels=[FIRST, (0, 1, 0, 0.0, -1)]).outcomes
    assert outcomes["status"].tolist() == [TIMED_OUT, FINISHED]
    assert outcomes["arrival_s"].tolist() == [0.0, 3.0]


def test_users_take_the_next_request_when_they_are_free():
    """Users A (of 0, 1 s) and B (of 1, 3 s) share a list: A takes 2 and 3, B is first when 4 is due."""
    rows = [(0.0, 1, 1), (0.0, 1, 3)]
    source = [(0.5, 1, 1), (0.25, 1, 4), (1.0, 1, 1)]
    outcomes = run(rows, pool(), sequels=[(-1, 0, 0, 0.0, 0)] * 2, sources=(source,)).outcomes
    # 2 arrives at 1.5 s in the middle of the step from 1 to 2 s, and ends with the next one, together with 1.
    assert outcomes["finish_s"][:3].tolist() == [1.0, 3.0, 3.0]
    assert outcomes["arrival_s"][2:].tolist() == [1.5, 3.25, 4.0]


def test_users_are_gone_when_their_list_is_at_its_end_or_at_the_horizon():
    rows = [(0.0, 1, 1)]
    source = [(0.0, 1, 1), (5.0, 1, 1), (0.0, 1, 1)]
    user = [(-1, 0, 0, 0.0, 0)]
    assert run(rows, pool(), sequels=user, sources=(source[:1],)).outcomes["id"].tolist() == [0, 1]
    assert run(rows, pool(), sequels=user, sources=(source,), last_arrival_s=5.0).outcomes["id"].tolist() == [0, 1]
