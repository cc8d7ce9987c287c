"""Phases of a cold start, moment by moment: image, weights from storage, host memory or a peer, warm pools, billing.

In the made-up house a machine is found after 5 s, weights take 3 s and the engine 2 s.
"""

from dataclasses import replace

import numpy as np
import pytest

from infersim.cost.build import build_tables
from infersim.cost.cold_start import Phases, phases, plain_phases
from infersim.spec import catalogue
from infersim.spec.life import Billing, ColdStart, Image, Warm, Weights
from infersim.spec.pool import Parallelism
from infersim.spec.provisioning import finding_s
from tests.controlplane.house import at, datacenter, events, life, tables

H100, L40S, VLLM = catalogue.hardware("h100-sxm"), catalogue.hardware("l40s"), catalogue.engine("vllm")


def of_70b(spec: ColdStart) -> Phases:
    """Phases of Llama-3.1-70B in 16 bit on four H100: 141.1e9 bytes of weights, 50 GB/s over PCIe for each chip."""
    costs = build_tables(
        catalogue.model("llama-3.1-70b"), H100, VLLM, Parallelism(tensor=4), "bf16", "bf16", 16, 1024, 16, None
    )
    return phases(spec, H100, VLLM, costs)


@pytest.mark.parametrize(
    ("weights", "gb_s"),
    [
        (Weights(), 4 * 0.9),  # the chip's own load rate, four chips
        (Weights(source="object_store"), 7.0),  # slower than the network (4 x 45) and PCIe (4 x 50)
        (Weights(source="object_store", network_gb_s=3.125), 3.125),  # 25 Gb/s
        (Weights(source="disk"), 1.1),
        (Weights(source="nvme"), 12.0),
        (Weights(source="nvme", storage_gb_s=500), 200.0),  # PCIe: 4 x 50
        (Weights(source="page_cache"), 200.0),
    ],
)
def test_loading_takes_the_slowest_part_of_the_way(weights: Weights, gb_s: float) -> None:
    """70.55e9 parameters (Llama 3 paper) of 2 bytes."""
    assert of_70b(ColdStart(weights=weights)).load_s == pytest.approx(2 * 70.55e9 / (gb_s * 1e9), rel=0.01)


def test_published_loading() -> None:
    """Llama-2-70B (138 GB) came from S3 onto a p4de in 20 s once streaming was tuned (Anyscale)."""
    a100 = catalogue.hardware("a100-sxm-80gb")
    costs = build_tables(
        catalogue.model("llama-2-70b"), a100, VLLM, Parallelism(tensor=8), "fp16", "fp16", 16, 1024, 16, None
    )
    assert phases(ColdStart(weights=Weights(source="object_store")), a100, VLLM, costs).load_s == pytest.approx(
        20, rel=0.1
    )


def test_other_phases() -> None:
    spec = ColdStart(
        image=Image(size_gb=10, gb_s=0.5),
        weights=Weights(peer=True),
        compilation_cache=False,
        warm=Warm(machines=1, state="asleep", wake_s=2),
    )
    found = of_70b(spec)
    assert found.image_s == 20
    assert VLLM.compile_s is not None
    assert found.initialise_s == VLLM.initialise_s.value + VLLM.compile_s.value
    assert found.peer_s == pytest.approx(2 * 70.55e9 / 180e9, rel=0.01)  # 4 x 45 GB/s between machines
    assert found.wake_s == pytest.approx(2 + 2 * 70.55e9 / 200e9, rel=0.01)


def test_finding_a_machine() -> None:
    """Always the profile's, your own lognormal, or by provider and tier: its median and 99th percentile come out."""
    assert finding_s(ColdStart(), 120, "spot", "aws") == (120, None)
    assert finding_s(ColdStart(provision_s=7), 120, "spot", "aws") == (7, None)
    assert finding_s(ColdStart(provision="typical"), 120, "on_demand", "aws") == (120, 360)
    assert finding_s(ColdStart(provision="typical"), 120, "spot", "Azure") == pytest.approx((666, 5328))
    house = datacenter()
    source = replace(house.pools[0].terms.sources[0], provision_s=(100.0, 400.0))
    drawn = [source.time_to_find() for _ in range(20_000)]
    assert np.median(drawn) == pytest.approx(100, rel=0.03)
    assert np.quantile(drawn, 0.99) == pytest.approx(400, rel=0.06)


def test_every_phase_is_an_event_with_its_seconds() -> None:
    """Asked for at 1; 5 s to find, 4 s of image, 3 s of weights, 2 s of initialisation."""
    house = datacenter(phases=replace(plain_phases(tables()), image_s=4.0))
    at(house, (1, house.pools[0].open))
    house.run(20, 100)
    assert [(time_s, kind, detail) for time_s, kind, _, _, detail in house.log] == [
        (1, "requested", ""), (6, "provisioned", "5 s, on_demand"), (10, "image", "4 s, pulled"),
        (13, "loaded", "3 s, from profile"), (15, "initialised", "2 s"), (15, "ready", ""),
    ]  # fmt: skip


def test_a_peer_sends_its_weights_to_one_at_a_time() -> None:
    """Found at 5: one loads from the ready replica in 1 s, the other, meanwhile, from storage in 3 s."""
    house = datacenter(phases=replace(plain_phases(tables()), peer_s=1.0))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (0, pool.open), (0, pool.open))
    house.run(20, 100)
    assert (life(house, 1)["ready"], life(house, 2)["ready"]) == (8, 10)
    assert [detail for _, kind, _, _, detail in house.log if kind == "loaded"] == [
        "1 s, from replica 0", "3 s, from profile",
    ]  # fmt: skip


def test_a_peer_that_goes_meanwhile_leaves_half_a_model() -> None:
    """It would have sent from 5 to 7 and is given back at 6: loaded again from storage from 6 to 9, ready at 11."""
    house = datacenter(phases=replace(plain_phases(tables()), peer_s=2.0))
    pool = house.pools[0]
    first = pool.open(ready=True)
    at(house, (0, pool.open), (6, lambda: pool.retire(first)))
    house.run(20, 100)
    assert life(house, 1)["ready"] == 11


@pytest.mark.parametrize(
    ("state", "ready_s", "after"), [("booted", 25, 3 + 2), ("cached", 23, 1 + 2), ("asleep", 20.5, 0.5)]
)
def test_a_warm_machine_is_ready_sooner_and_is_found_anew(state: str, ready_s: float, after: float) -> None:
    """Asked for at 20 with a warm machine at hand; the next one for the warm pool is asked for then, found at 25."""
    warm = Warm(machines=1, state=state)  # type: ignore[arg-type]
    house = datacenter(phases=replace(plain_phases(tables()), cached_s=1.0, wake_s=0.5), warm=warm)
    pool = house.pools[0]
    pool.keep_warm()
    at(house, (20, pool.open))
    house.run(50, 100)
    assert ready_s == 20 + after
    assert life(house, 0)["ready"] == ready_s
    assert (life(house, 0)["billed_from"], life(house, 1)["billed_from"]) == (5, 25)
    assert [time_s for time_s, kind, _ in events(house) if kind == "taken"] == [20]
    assert (life(house, 1)["ready"] == life(house, 1)["ready"]) is False  # it still waits
    assert house.samples()[-1]["starting"] == 1


def test_before_a_warm_machine_has_been_found_a_replica_is_asked_for_as_ever() -> None:
    house = datacenter(warm=Warm(machines=1))
    pool = house.pools[0]
    pool.keep_warm()
    at(house, (2, pool.open))
    house.run(50, 100)
    assert life(house, 1)["ready"] == 2 + 10


@pytest.mark.parametrize(
    ("billing", "rounding_s"),
    [
        (Billing(), 0),
        (Billing(minimum_s=60), 60 - 7.5),
        (Billing(step_s=5), 10 - 7.5),
        (Billing(minimum_s=5, step_s=1), 0.5),
        (Billing(step_s=2.5), 0),
    ],
)
def test_minimum_and_whole_periods_are_billed(billing: Billing, rounding_s: float) -> None:
    """Had from 5 to 12.5 s; the other, which is had at the end of the run, and one that was cancelled, owe no more."""
    house = datacenter(billing=billing)
    pool = house.pools[0]
    at(house, (0, pool.open), (12.5, pool.drain), (12.5, pool.open), (13, pool.open), (13.5, pool.drain))
    house.run(30, 100)
    assert house.leases()["rounding_s"].tolist() == [rounding_s, 0, 0]
