"""HPA, KEDA and KPA in whole runs, each scaling at the second that their documented formulas give by hand.

`house.py` has the times: steps of one second, replicas ready ten seconds after they were asked for. Not here: the
decisions alone (`tests/policies/test_hpa.py`, `test_kpa.py`).
"""

from infersim.spec.pool import Replicas
from tests.controlplane.house import COLD_START_S, datacenter, scale_by
from tests.controlplane.test_scaler import scalings


def test_hpa_stabilisation_window() -> None:
    """Eight requests from 1 to 101, two for each replica, syncs every 15 s, default behaviour.

    15: 8 on one replica: ceil(1 x 4) = 4; double, or four more, allows 5. 30 .. 90: 2 each, so 4 is recommended again. From 105
    on nothing is in flight, and the most recommended within 300 s is 4 until the one of 90 is 300 s old: 390.
    """
    house = datacenter(*[(1.0, 100)] * 8)
    scale_by(house, Replicas(initial=1, min=1, max=10), policy="kubernetes_hpa", target=2)
    house.run(420, 1000)
    assert scalings(house) == [(15, "1 -> 4"), (390, "4 -> 1")]


def test_hpa_scaling_policies() -> None:
    """The same with one pod a minute after 30 s: 120, when the four of 90 are 30 s old, then when the last is 60 s ago."""
    house = datacenter(*[(1.0, 100)] * 8)
    down = {"stabilization_window_s": 30, "policies": [{"type": "pods", "value": 1, "period_s": 60}]}
    behavior = {"scale_down": down, "scale_up": {"policies": [{"type": "pods", "value": 2, "period_s": 30}]}}
    limits = Replicas(initial=1, min=1, max=10)
    scale_by(house, limits, policy="kubernetes_hpa", target=2, behavior=behavior)
    house.run(420, 1000)
    # Up: two in 30 s. 15: 3. 30: 8 on three ready (from 25 on) is ratio 1.33, ceil(4), but two were added 15 s ago. 45: 4.
    assert scalings(house) == [(15, "1 -> 3"), (45, "3 -> 4"), (120, "4 -> 3"), (180, "3 -> 2"), (240, "2 -> 1")]


def test_kpa_from_zero_through_panic_to_zero() -> None:
    """One request from 1 for 100 tokens, nine from 20 for 60, two for each replica; ticks every 2 s.

    1: nobody is there, so it decides at once: 1, ready at 11; ticks are at odd seconds from now on. The request is served from
    11 to 111, the nine from 20 to 80.
    21: the panic window (17, 19, 21) has (1 + 1 + 10) / 3 = 4: 2 wanted of 1 ready: panic. 23: 7, so 4. 25: 10, so 5.
    31: two are ready, 5 / 2 is still panic; 33: four, and it is not. It ends more than 60 s after 31: at 93.
    93: the stable window (35 .. 93) has 23 readings of 10 and 7 of 1: 7.9, so 4. Each tick takes nine off the sum (237,
    228, ... ): at 107 it is 174: 5.8, 3. From 111 on, ten (165 at 109, 155, 145 ...): at 119 115: 3.83, 2. At 131
    55: 1.83, 1. At 169 the last reading with a request (109) has left: none is wanted, and the grace ends at 199.
    """
    house = datacenter((1.0, 100), *[(20.0, 60)] * 9)
    scale_by(house, Replicas(initial=0, max=20), policy="knative_kpa", target=2, target_utilisation=1.0)
    house.run(250, 1000)
    assert scalings(house) == [
        (1, "0 -> 1"), (21, "1 -> 2"), (23, "2 -> 4"), (25, "4 -> 5"), (93, "5 -> 4"), (107, "4 -> 3"), (119, "3 -> 2"),
        (131, "2 -> 1"), (199, "1 -> 0"),
    ]  # fmt: skip
    rows = house.env.fleet.outcomes()
    assert rows["held_s"].tolist() == [COLD_START_S] + [0] * 9
    assert rows["finish_s"].tolist() == [111] + [80] * 9


def test_keda_from_zero_and_to_zero() -> None:
    """Polls every 30 s, syncs every 15; four requests at 10 for 20 tokens; two in flight for each replica.

    30: the poll sees four: active, 1. 40: ready, served until 60. 45: 4 in flight of 1: ceil(4 / 2) = 2. 60: nothing any
    more; the last active poll was that of 30, and more than 45 s later is the poll of 90.
    """
    house = datacenter(*[(10.0, 20)] * 4)
    scale_by(
        house, Replicas(initial=0, max=9), policy="keda_queue_length", queue_length=2, counts="in_flight", cooldown_s=45
    )  # fmt: skip
    house.run(200, 1000)
    assert scalings(house) == [(30, "0 -> 1"), (45, "1 -> 2"), (90, "2 -> 0")]
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [60] * 4
