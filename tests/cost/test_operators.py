"""Parameters, FLOPs and bytes against hand-computed and published values; distinct experts against counting."""

import itertools

import numpy as np
import pytest

from infersim.cost.operators import active_parameters, attended, expected_experts, kv_elements, parameters
from infersim.cost.sharding import divide
from infersim.spec import catalogue

# Totals of the published checkpoints, from the sums of their tensors' sizes.
PUBLISHED = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_checkpoint(name: str) -> None:
    assert parameters(catalogue.model(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", catalogue.model_names())
def test_parameters_agree_with_the_published_total(name: str) -> None:
    model = catalogue.model(name)
    if model.published_parameters_b is None:
        pytest.skip("no published total")
    assert parameters(model) == pytest.approx(model.published_parameters_b * 1e9, rel=0.015)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-2-7b", 2 * 32 * 32 * 128),  # MHA: every head has its own keys and values
        ("llama-2-70b", 2 * 80 * 8 * 128),  # GQA: 8 of 64
        ("llama-3.1-8b", 2 * 32 * 8 * 128),
    ],
)
def test_kv_elements_of_a_token(name: str, expected: int) -> None:
    model = catalogue.model(name)
    assert kv_elements(model, divide(model, 1)) == expected


def test_kv_heads_are_replicated_beyond_their_number() -> None:
    model = catalogue.model("llama-3.1-8b")  # 8 KV heads
    held = {n: n * kv_elements(model, divide(model, n)) for n in (1, 2, 8, 16, 32)}
    assert held[1] == held[2] == held[8]
    assert held[16] == 2 * held[8]
    assert held[32] == 4 * held[8]


def test_active_parameters_by_hand() -> None:
    # Mixtral: attention 4096 x (4096 + 2 x 1024) + 4096 x 4096, router 4096 x 8, two experts of three 4096 x 14336.
    layer = 4096 * 6144 + 4096 * 4096 + 4096 * 8 + 2 * 3 * 4096 * 14336
    assert active_parameters(catalogue.model("mixtral-8x7b")) == 32 * layer + 4096 * 32000


def test_dense_models_activate_everything_but_the_input_embedding_and_norms() -> None:
    model = catalogue.model("llama-3.1-8b")
    norms = (2 * model.layers + 1) * model.hidden_size
    assert active_parameters(model) == parameters(model) - model.vocab_size * model.hidden_size - norms


def test_attention_flops_of_a_pair() -> None:
    # QK^T and PV are one multiply-add for each of 64 heads x 128, in 80 layers: 2 x 2 x 8192 x 80.
    model = catalogue.model("llama-2-70b")
    assert attended(model, divide(model, 1)).pair_flops == 4 * 8192 * 80


@pytest.mark.parametrize(("count", "per_token", "tokens"), [(4, 1, 3), (4, 2, 2), (5, 2, 3), (6, 3, 2)])
def test_expected_experts_against_counting_all_choices(count: int, per_token: int, tokens: int) -> None:
    choices = list(itertools.combinations(range(count), per_token))
    distinct = [len(set().union(*picked)) for picked in itertools.product(choices, repeat=tokens)]
    assert expected_experts(count, per_token, np.array([tokens]), 0.0)[0] == pytest.approx(np.mean(distinct))


def test_uneven_experts_against_integrating_over_how_popular_they_are() -> None:
    """One of 16 experts a token, popularity beta distributed with mean 1/16 and a coefficient of variation of 0.65: a fine
    sum over the distribution; one token visits exactly one, and no number of tokens more than with even experts."""
    mean, spread = 1.0 / 16.0, 0.65
    both = (1.0 - mean) / (mean * spread**2) - 1.0
    shares = (np.arange(400_000) + 0.5) / 400_000
    density = shares ** (both * mean - 1.0) * (1.0 - shares) ** (both * (1.0 - mean) - 1.0)
    density /= density.sum()
    variation = np.sqrt((density * (shares - mean) ** 2).sum()) / mean
    assert variation == pytest.approx(spread, rel=1e-3)
    tokens = np.array([0, 1, 8, 16, 32, 64, 256])
    missed = [(density * (1.0 - shares) ** count).sum() for count in tokens]
    found = expected_experts(16, 1, tokens, spread)
    assert found == pytest.approx(16.0 * (1.0 - np.array(missed)), rel=1e-3)
    assert found[1] == pytest.approx(1.0)
    assert (found <= expected_experts(16, 1, tokens, 0.0) + 1e-9).all()
    assert (np.diff(expected_experts(10, 9, tokens)) >= 0.0).all()  # too popular for that spread: the widest there is


def test_tensor_parallelism_that_does_not_divide_the_heads_is_refused_or_padded() -> None:
    model = catalogue.model("llama-3.1-70b")
    with pytest.raises(ValueError, match=r"12 does not divide the 64 attention heads .* use one of 1, 2, 4, 8, 16"):
        divide(model, 12)
    assert divide(model, 12, pad_heads=True).heads == 6
