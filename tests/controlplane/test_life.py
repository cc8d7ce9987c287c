"""A replica's life, moment by moment: found, loaded, ready, draining, given back; and what of it is billed."""

import math

import numpy as np
import pytest

from infersim.cost.build import build_tables
from infersim.spec import catalogue
from infersim.spec.pool import Parallelism
from tests.controlplane.house import COLD_START_S, IDLE_W, at, datacenter, events, life

NAN = math.nan


def moments(requested: float, billed_from: float, ready: float, draining: float, closed: float) -> object:
    return pytest.approx(
        {"requested": requested, "billed_from": billed_from, "ready": ready, "draining": draining, "closed": closed},
        abs=0, rel=0, nan_ok=True,
    )  # fmt: skip


def test_a_cold_start() -> None:
    """Asked for at 7, found at 12, loaded and initialised at 17; the request that came at 1 waited for it."""
    house = datacenter((1.0, 4))
    at(house, (7, house.pools[0].open))
    house.run(40, 100)
    assert life(house, 0) == moments(7, 12, 17, NAN, 40)
    assert events(house) == [
        (7, "requested", 0), (12, "provisioned", 0), (15, "loaded", 0), (17, "initialised", 0), (17, "ready", 0),
    ]  # fmt: skip
    (outcome,) = house.env.fleet.outcomes()
    assert (outcome["held_s"], outcome["first_token_s"], outcome["finish_s"]) == (16, 18, 21)
    (lease,) = house.leases()
    assert (lease["busy_s"], lease["steps"], lease["requests"], lease["output_tokens"]) == (4, 4, 1, 4)


@pytest.mark.parametrize(("chip", "tensor"), [("h100-sxm", 1), ("h100-sxm", 4), ("mi300x", 1), ("tpu-v5e", 8)])
def test_loading_takes_bytes_over_the_bandwidth_of_all_chips(chip: str, tensor: int) -> None:
    """8B in bf16: 8.03e9 parameters (Llama 3 paper) of 2 bytes, each chip loading its share."""
    hardware, engine = catalogue.hardware(chip), catalogue.engine("jetstream" if chip == "tpu-v5e" else "vllm")
    tables = build_tables(
        catalogue.model("llama-3.1-8b"),
        hardware,
        engine,
        Parallelism(tensor=tensor),
        "bf16",
        "bf16",
        16,
        1024,
        16,
        None,
    )
    assert tables.load_s == pytest.approx(2 * 8.03e9 / (tensor * hardware.load_gb_s.value * 1e9), rel=0.01)
    assert tables.provision_s == hardware.provision_s.value
    assert tables.initialise_s == engine.initialise_s.value


def test_ready_at_the_start_costs_nothing_before() -> None:
    house = datacenter()
    house.pools[0].open(ready=True)
    house.run(10, 100)
    assert life(house, 0) == moments(0, 0, 0, NAN, 10)


def test_draining_finishes_what_it_holds_and_takes_nothing_more() -> None:
    """Told to go at 3 with a request until 9; the request of 4 waits for the replica that is asked for then."""
    house = datacenter((1.0, 8), (4.0, 2))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (3, pool.drain), (4, pool.open))
    house.run(30, 100)
    assert life(house, 0) == moments(0, 0, 0, 3, 9)
    assert life(house, 1) == moments(4, 9, 14, NAN, 30)
    first, second = house.env.fleet.outcomes()
    assert (first["replica"], first["finish_s"]) == (0, 9)
    assert (second["replica"], second["held_s"], second["finish_s"]) == (1, 10, 16)
    assert [(lease["busy_s"], lease["requests"]) for lease in house.leases()] == [(8, 1), (2, 1)]
    assert events(house)[2:] == [
        (3, "draining", 0), (4, "requested", 1), (9, "provisioned", 1), (9, "closed", 0), (12, "loaded", 1),
        (14, "initialised", 1), (14, "ready", 1),
    ]  # fmt: skip


def test_an_idle_replica_is_given_back_at_once() -> None:
    house = datacenter((1.0, 4))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (5, pool.drain))
    house.run(30, 100)
    assert life(house, 0) == moments(0, 0, 0, 5, 5)


@pytest.mark.parametrize("when", [2.0, 6.9, 7.0])
def test_cancelled_before_the_machine_is_found_is_never_billed(when: float) -> None:
    """Asked for at 2, the machine would come at 7; billing starts with it."""
    house = datacenter()
    pool = house.pools[0]
    at(house, (2, pool.open), (when, pool.drain))
    house.run(30, 1.3)
    assert life(house, 0) == moments(2, when, NAN, NAN, when)
    assert house.samples()["billed_s"].max() == 0
    assert events(house) == [(2, "requested", 0), (when, "closed", 0)]


def test_cancelled_while_loading_is_billed() -> None:
    """Found at 7, cancelled at 10.5: 3.5 s to pay and not a second of service."""
    house = datacenter()
    pool = house.pools[0]
    at(house, (2, pool.open), (10.5, pool.drain))
    house.run(30, 1.3)
    assert life(house, 0) == moments(2, 7, NAN, NAN, 10.5)
    last = house.samples()[-1]
    assert (last["billed_s"], last["up_s"], last["busy_s"], last["starting"]) == (3.5, 0, 0, 0)
    assert last["joules"] == 3.5 * IDLE_W


def test_cancelled_at_the_moment_it_would_be_ready() -> None:
    """The order was placed at 2; the drain of 12 was planned before the end of loading was."""
    house = datacenter()
    pool = house.pools[0]
    at(house, (12, pool.drain))
    at(house, (2, pool.open))
    house.run(30, 100)
    assert life(house, 0) == moments(2, 7, NAN, NAN, 12)


def test_a_run_that_ends_during_a_cold_start() -> None:
    """One replica is still being looked for (not billed), another is loading (billed from 8 to the end)."""
    house = datacenter()
    pool = house.pools[0]
    at(house, (3, pool.open), (6, pool.open))
    house.run(10, 100)
    assert life(house, 0) == moments(3, 8, NAN, NAN, 10)
    assert life(house, 1) == moments(6, 10, NAN, NAN, 10)


def test_the_place_of_a_closed_replica_is_used_again() -> None:
    """Lives follow one another in the fleet's arrays; serial numbers do not come back."""
    house = datacenter(*((float(20 * k + 11), 3) for k in range(4)))
    pool = house.pools[0]
    for k in range(4):
        at(house, (20 * k, pool.open), (20 * k + 15, pool.drain))
    house.run(100, 100)
    assert house.env.fleet.outcomes()["replica"].tolist() == [0, 1, 2, 3]
    assert house.leases()["busy_s"].tolist() == [3, 3, 3, 3]
    assert house.leases()["ready_s"].tolist() == [20 * k + COLD_START_S for k in range(4)]


def test_outcomes_name_the_lease_that_served_them() -> None:
    """A replica that was cancelled has a serial number too, so those of the fleet would run ahead of the leases'."""
    house = datacenter((20.0, 2))
    pool = house.pools[0]
    at(house, (1, pool.open), (2, pool.drain), (3, pool.open))
    house.run(30, 100)
    assert house.env.fleet.outcomes()["replica"].tolist() == [1]
    assert house.leases()["requests"].tolist() == [0, 1]


def test_which_replica_goes_first() -> None:
    """The latest of those on their way; then the ready one with the fewest requests; the youngest on ties."""
    house = datacenter((1.0, 50), (2.0, 50), (3.0, 50), (4.0, 50))
    pool = house.pools[0]
    for _ in range(3):
        pool.open(ready=True)  # the requests go to 0, 1, 2 and, all being equal, 0
    at(house, (0.5, pool.open), (0.5, pool.open))
    at(house, *((when, pool.drain) for when in (5, 6, 20, 21, 22)))
    house.run(60, 100)
    gone = [(time_s, replica) for time_s, kind, replica in events(house) if kind in ("draining", "closed")]
    assert gone == [(5, 4), (6, 3), (20, 2), (21, 1), (22, 0), (52, 1), (53, 2), (54, 0)]


def test_nothing_to_give_back() -> None:
    house = datacenter()
    with pytest.raises(ValueError, match="pool0 has no replica to give back"):
        house.pools[0].drain()


def test_scaling_to_the_present_number_is_no_event() -> None:
    house = datacenter()
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (1, lambda: pool.scale_to(1, "nothing changed")), (2, lambda: pool.scale_to(3, "two more")))
    house.run(5, 100)
    assert [event for event in house.log if event[1] == "scale"] == [(2, "scale", "pool0", -1, "1 -> 3: two more")]
    assert np.isnan(house.leases()["ready_s"]).tolist() == [False, True, True]
