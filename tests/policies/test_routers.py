"""Each shipped router on signals made by hand: whom it must choose, what it must not look at, and how old it may be."""

import math

import numpy as np
import pytest

from infersim.dataplane.fleet import Fleet, PoolCost, Why
from infersim.dataplane.records import REPLICA, REQUEST
from infersim.policies.routing import ROUTERS
from infersim.spec import policies
from tests.twin.by_hand import pool

SHIPPED = [
    "round_robin", "random", "least_outstanding", "power_of_two", "least_prompt_work", "least_kv_used",
    "fastest_weighted", "session_sticky", "prefix_aware", "cheapest_first", "model_affinity",
]  # fmt: skip


class Crowd:
    """Some replicas as a router sees them, and its memory; signals that are not given are 0 (or 1 where they divide)."""

    def __init__(self, router: str, count: int, **signals: list) -> None:
        self.route = ROUTERS[router].function
        self.replicas = np.zeros(count, REPLICA).view(np.recarray)
        self.replicas.serial = np.arange(count)
        self.replicas.prompt_token_s = self.replicas.kv_blocks = self.replicas.max_num_seqs = 1
        for name, values in signals.items():
            self.replicas[name] = values
        self.memory = np.zeros(8, np.int64)

    def choose(self, routable: list[int] | None = None, id: int = 0, session: int = -1) -> int:
        request = np.zeros(1, REQUEST).view(np.recarray)[0]
        request.id, request.session = id, session
        ready = np.arange(len(self.replicas)) if routable is None else np.array(routable)
        return int(self.route(request, self.replicas, ready, self.memory))

    def choices(self, count: int, routable: list[int] | None = None) -> np.ndarray:
        return np.array([self.choose(routable, id=id) for id in range(count)])


def test_these_are_all() -> None:
    assert set(SHIPPED) <= set(ROUTERS)
    assert set(SHIPPED) <= policies.ROUTERS


@pytest.mark.parametrize("router", SHIPPED)
def test_only_ready_replicas_are_chosen(router: str) -> None:
    """Even if the others have nothing to do, cost nothing and know the prompt by heart."""
    crowd = Crowd(
        router, 6, outstanding=[0, 9, 0, 8, 7, 0], queued_tokens=[0, 900, 0, 800, 700, 0], kv_blocks=[100] * 6,
        kv_blocks_used=[0, 90, 0, 80, 70, 0], usd_per_hour=[0, 9, 0, 8, 7, 0], max_num_seqs=[20] * 6,
        cached_tokens=[64, 0, 64, 0, 0, 64],
    )  # fmt: skip
    assert set(crowd.choices(100, [1, 3, 4])) <= {1, 3, 4}
    assert {crowd.choose([4], id=id, session=id) for id in range(10)} == {4}


def test_round_robin_takes_turns() -> None:
    crowd = Crowd("round_robin", 4, outstanding=[9, 0, 0, 0])
    assert crowd.choices(5).tolist() == [0, 1, 2, 3, 0]
    # One fewer is ready: the turn is that of the sixth request.
    assert crowd.choose([0, 2, 3]) == [0, 2, 3][5 % 3]


def test_random_is_fair() -> None:
    counts = np.bincount(Crowd("random", 7).choices(7000), minlength=7)
    # Binomial: 1,000 each, with a standard deviation of sqrt(7,000 / 7 * 6 / 7) = 29.
    assert np.abs(counts - 1000).max() < 4 * 29.3


def test_random_is_independent_from_one_request_to_the_next() -> None:
    choices = Crowd("random", 4).choices(8000)
    pairs = np.bincount(4 * choices[:-1] + choices[1:], minlength=16)
    assert np.abs(pairs - 500).max() < 4.5 * math.sqrt(500)


@pytest.mark.parametrize("router", ["random", "session_sticky"])
def test_a_new_replica_moves_only_what_it_takes(router: str) -> None:
    """Rendezvous hashing: the others keep all that the new one does not get, which is its fair share."""
    crowd = Crowd(router, 9)

    def chosen(routable: list[int]) -> np.ndarray:
        return np.array([crowd.choose(routable, id=each, session=each) for each in range(4000)])

    before, after = chosen(list(range(8))), chosen(list(range(9)))
    moved = before != after
    assert (after[moved] == 8).all()
    assert moved.sum() == pytest.approx(4000 / 9, abs=4 * math.sqrt(4000 / 9))
    # So when one goes, only what it had moves, and it is spread over all.
    without = chosen([0, 1, 2, 4, 5, 6, 7, 8])
    assert (after[without != after] == 3).all()
    assert set(without[after == 3]) == {0, 1, 2, 4, 5, 6, 7, 8}


def test_another_life_of_an_index_is_another_replica() -> None:
    crowd = Crowd("random", 5)
    before = crowd.choices(2000)
    crowd.replicas.serial[2] = 17
    after = crowd.choices(2000)
    assert ((before == after) | (before == 2) | (after == 2)).all()
    assert (before[after == 2] != 2).any()


def test_least_outstanding_takes_the_first_of_the_least_loaded() -> None:
    crowd = Crowd("least_outstanding", 4, outstanding=[3, 1, 2, 1], queued_tokens=[0, 99, 0, 0])
    assert crowd.choose() == 1
    assert crowd.choose([0, 2, 3]) == 3


def test_power_of_two_takes_the_less_loaded_of_two() -> None:
    """The most loaded gets only what draws it twice, one in n squared; the least loaded all that draw it at all."""
    count, requests = 6, 6000
    counts = np.bincount(Crowd("power_of_two", count, outstanding=range(count)).choices(requests), minlength=count)
    share = np.array([(2 * (count - rank) - 1) / count**2 for rank in range(count)])
    deviation = np.sqrt(requests * share * (1 - share))
    assert (np.abs(counts - requests * share) < 4 * deviation).all()


def test_power_of_two_keeps_the_fullest_bin_low() -> None:
    """Mitzenmacher 2001: of n balls in n bins the fullest has about ln n / ln ln n (1 choice) or ln ln n / ln 2 (2)."""

    def fullest(router: str, n: int = 1500) -> int:
        crowd = Crowd(router, n)
        for ball in range(n):
            crowd.replicas.outstanding[crowd.choose(id=ball)] += 1
        return int(crowd.replicas.outstanding.max())

    assert fullest("power_of_two") <= 4 < fullest("random")


def test_least_prompt_work_counts_seconds() -> None:
    crowd = Crowd("least_prompt_work", 3, queued_tokens=[1000, 3000, 500], prompt_token_s=[2e-3, 1e-3, 5e-3])
    # 2 s, 3 s and 2.5 s.
    assert crowd.choose() == 0
    assert crowd.choose([1, 2]) == 2
    idle = Crowd("least_prompt_work", 3, outstanding=[4, 2, 2])
    assert idle.choose() == 1


def test_least_kv_used_compares_shares() -> None:
    crowd = Crowd("least_kv_used", 3, kv_blocks_used=[30, 60, 200], kv_blocks=[100, 300, 1000])
    # 30 %, 20 % and 20 %.
    crowd.replicas.outstanding = [0, 5, 4]
    assert crowd.choose() == 2
    assert crowd.choose([0, 1]) == 1
    crowd.replicas.outstanding = [0, 5, 5]
    assert crowd.choose() == 1


def test_fastest_weighted_gives_in_proportion_to_speed() -> None:
    crowd = Crowd("fastest_weighted", 2, prompt_token_s=[1e-3, 3e-3])
    for _ in range(400):
        crowd.replicas.outstanding[crowd.choose()] += 1
    assert crowd.replicas.outstanding.tolist() == [300, 100]


def test_sessions_stick_whatever_the_load() -> None:
    crowd = Crowd("session_sticky", 5, outstanding=[0, 0, 0, 0, 0])
    homes = [crowd.choose(id=1, session=session) for session in range(50)]
    assert set(homes) == {0, 1, 2, 3, 4}
    crowd.replicas.outstanding = [100, 3, 50, 2, 9]
    assert [crowd.choose(id=2, session=session) for session in range(50)] == homes
    assert crowd.choose(id=3) == 3


def test_prefix_aware_takes_the_longest_prefix() -> None:
    crowd = Crowd("prefix_aware", 4, cached_tokens=[0, 512, 1024, 1024], outstanding=[0, 0, 5, 4])
    assert crowd.choose() == 3
    assert crowd.choose([0, 1]) == 1
    nothing = Crowd("prefix_aware", 3, outstanding=[2, 1, 1])
    assert nothing.choose() == 1


@pytest.mark.parametrize(("outstanding", "chosen"), [(14, 1), (15, 0)])
def test_prefix_aware_gives_way_to_overload(outstanding: int, chosen: int) -> None:
    """8 more than half as many again as the least loaded has: with 4 there, up to 14."""
    assert Crowd("prefix_aware", 2, cached_tokens=[0, 4096], outstanding=[4, outstanding]).choose() == chosen


def test_cheapest_first_spills_over() -> None:
    crowd = Crowd("cheapest_first", 3, usd_per_hour=[10, 2, 5], max_num_seqs=[4, 4, 4])
    taken = []
    for _ in range(13):
        taken.append(crowd.choose())
        crowd.replicas.outstanding[taken[-1]] += 1
    # The cheapest until its batch is full, then the next; when all are full, the first of the least loaded.
    assert taken == [1] * 4 + [2] * 4 + [0] * 4 + [0]
    crowd.replicas.outstanding = [6, 5, 7]
    assert crowd.choose() == 1


def test_cheapest_first_spreads_over_those_of_one_price() -> None:
    """As people expect of a fleet of equals: nobody's batch is filled while another's is empty. The dear one waits."""
    crowd = Crowd("cheapest_first", 3, usd_per_hour=[2, 5, 2], max_num_seqs=[2, 2, 2])
    taken = []
    for _ in range(6):
        taken.append(crowd.choose())
        crowd.replicas.outstanding[taken[-1]] += 1
    assert taken == [0, 2, 0, 2, 1, 1]


# ---------------------------------------------------------------- how old the signals are


def where(router: str, arrivals: list[float], scrape_s: float, outputs: int = 1000) -> list[int]:
    """To which of two replicas requests of 4 tokens go; a step takes 1 s, so nothing ends meanwhile."""
    requests = np.zeros(len(arrivals), REQUEST)
    requests["id"], requests["arrival_s"], requests["input_tokens"] = np.arange(len(arrivals)), arrivals, 4
    costs = PoolCost(**vars(pool(max_num_seqs=16, max_num_batched_tokens=64, max_context=4000, blocks=10_000)))
    chosen = ROUTERS[router]
    chunks = [(requests, np.full(len(arrivals), outputs))]
    fleet = Fleet([costs], chunks, chosen.compiled, reads=chosen.reads, scrape_s=scrape_s, by_load=chosen.by_load)
    fleet.open(0)
    fleet.open(0)
    fleet.advance(math.inf)
    while fleet.in_flight:
        fleet.advance(math.inf)
    return fleet.outcomes()["replica"].tolist()


@pytest.mark.parametrize(("router", "last"), [("least_outstanding", 0), ("least_kv_used", 1)])
def test_signals_are_as_old_as_the_last_scrape(router: str, last: int) -> None:
    arrivals = [1, 2, 3, 11.5, 12.5, 21.5, 22.5, 31.5]
    # Read at 0: both idle. At 10: three and none. At 20: three and two. At 30: three and four, but the three have
    # grown by a token a second for longer, to 31 tokens and more each; two of the four have about 22, two about 12.
    assert where(router, arrivals, scrape_s=10) == [0, 0, 0, 1, 1, 1, 1, last]


def test_a_router_without_an_interval_sees_the_present() -> None:
    arrivals = [1, 2, 3, 11.5, 12.5, 21.5, 22.5, 31.5]
    assert where("least_outstanding", arrivals, scrape_s=0) == [0, 1] * 4
    # A scrape between every two arrivals is as good.
    assert where("least_outstanding", arrivals, scrape_s=0.25) == [0, 1] * 4


def test_turns_do_not_age() -> None:
    assert where("round_robin", [1, 2, 3, 11.5], scrape_s=10) == [0, 1, 0, 1]


def test_a_fleet_that_grows_makes_signals_no_younger() -> None:
    requests = np.zeros(4, REQUEST)
    requests["id"], requests["arrival_s"], requests["input_tokens"] = np.arange(4), [1, 2, 4, 5], 4
    route = ROUTERS["least_outstanding"].compiled
    fleet = Fleet([pool(max_num_seqs=16, max_num_batched_tokens=64)], [(requests, np.full(4, 50))], route, scrape_s=10)
    fleet.open(0)
    fleet.open(0)
    fleet.advance(3.0)
    fleet.open(0)  # room for four replicas is made; the first still seems as empty as at 0
    while fleet.advance(math.inf).why != Why.FINISHED:
        pass
    assert fleet.outcomes()["replica"].tolist() == [0, 0, 0, 0]


def test_signals_are_read_before_the_control_plane_acts() -> None:
    """At 10 the first replica has three requests and the second none; that the first is drained of its queue at 12 is not seen until 20."""
    requests = np.zeros(5, REQUEST)
    requests["id"], requests["arrival_s"], requests["input_tokens"] = np.arange(5), [1, 2, 3, 13, 14], 4
    one_at_a_time = pool(max_num_seqs=1, max_num_batched_tokens=64)
    fleet = Fleet([one_at_a_time], [(requests, np.full(5, 50))], ROUTERS["least_outstanding"].compiled, scrape_s=10)
    fleet.open(0)
    fleet.open(0)
    fleet.advance(12.0)
    fleet.open(0)
    fleet.drain(0, migrate=True)  # the two that wait are routed anew, to the second, which seems as empty as the third
    while fleet.in_flight:
        fleet.advance(math.inf)
    assert fleet.outcomes()["replica"].tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(("router", "chosen"), [("least_kv_used", 1), ("nearest", 2)])
def test_decode_replicas_are_chosen_by_true_signals(router: str, chosen: int) -> None:
    """The second request is sent while the first, of 40 tokens, decodes at the first of three decode replicas; the third is near."""
    prompts = pool(role="prefill", transfer_latency_s=0.25, max_num_batched_tokens=64)
    decodes = [pool(role="decode", network_s=(trip_s,)) for trip_s in (0.5, 0.5, 0.25)]
    requests = np.zeros(2, REQUEST)
    requests["id"], requests["arrival_s"], requests["input_tokens"] = [0, 1], [0, 3], [40, 4]
    policy = ROUTERS[router]
    fleet = Fleet([prompts, *decodes], [(requests, np.array([20, 2]))], policy.compiled, reads=policy.reads)
    for index in range(4):
        fleet.open(index)
    while fleet.advance(math.inf).why != Why.FINISHED:
        pass
    assert fleet.outcomes()["pool"].tolist()[1] == 1 + chosen


def test_model_affinity_stays_where_its_model_was_sent_last_until_others_are_half_as_busy() -> None:
    def chosen(outstanding: list[int], asked: list[int], resident: list[int]) -> int:
        signals = {"outstanding": outstanding, "asked": asked, "resident": resident, "max_num_seqs": [32] * 3}
        return Crowd("model_affinity", 3, **signals).choose()

    # The request asks for model 0: on its own 9 count 9, elsewhere 3 count 2 x 3 + 32 / 8, and 4 more but where its weights are.
    assert chosen([9, 3, 9], [0, 1, 2], [1, 0, 0]) == 0
    assert chosen([9, 2, 3], [0, 1, 2], [1, 1, 0]) == 1
    assert chosen([15, 3, 3], [0, 1, 2], [1, 0, 0]) == 1
    assert chosen([4, 3, 2], [0, 0, 0], [1, 1, 1]) == 2
