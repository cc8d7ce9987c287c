"""A scenario with its profiles looked up, its defaults filled in, and the certainty that its parts fit together.

`resolve` is what `simulate` starts from; `resolved_yaml` writes what ran. Not here: the single checks (`checks.py`),
whether the model fits into memory (`infersim/cost/memory.py`). Read `dataplane/records.py` or `cost/tables.py` next.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import yaml

from infersim import __version__
from infersim.spec import catalogue
from infersim.spec.assume import assuming, numbers_of
from infersim.spec.base import Dtype
from infersim.spec.checks import (
    Finding,
    check_adapters,
    check_autoscalers,
    check_batching,
    check_draft,
    check_dtype,
    check_engine,
    check_images,
    check_kinds,
    check_kv_cache,
    check_layout,
    check_policies,
    check_price,
    check_replicas,
    check_roles,
    check_rows,
    check_several,
    check_speculation,
    limits,
    matching_prices,
    own_price,
)
from infersim.spec.diffusion import Diffusion
from infersim.spec.document import CoreSchema, Document, document_of
from infersim.spec.engine import Engine
from infersim.spec.errors import KeyPath, Problem, SpecError, nearest
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model, prediction_layer
from infersim.spec.place_checks import check_caps, check_regions, check_takes, check_targets
from infersim.spec.placement import sram_chips
from infersim.spec.policies import ROUTERS
from infersim.spec.pool import Pool
from infersim.spec.scenario import Scenario
from infersim.spec.zoo import all_models, asked_by_lane, asked_for, check_models, numbers, plain, served

Profile = TypeVar("Profile")


@dataclass(frozen=True)
class Stored:
    """Dtypes of what is stored; computing follows from the chip."""

    weights: Dtype
    kv_cache: Dtype


@dataclass(frozen=True)
class ResolvedPool:
    """One pool with nothing left open."""

    pool: Pool
    """As in the scenario, with defaults filled in."""
    hardware: Hardware
    engine: Engine
    precision: Stored
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    """Tokens in a KV block."""
    chips: int
    """Chips of one replica."""
    draft: Model | None = None
    """What drafts tokens, if a model does."""
    models: tuple[int, ...] = (0,)
    """Numbers of the models that it serves."""


@dataclass(frozen=True)
class ResolvedScenario:
    """A scenario with nothing left open but its random draws and the content of its trace."""

    scenario: Scenario
    """As written, with defaults filled in."""
    model: Model | Diffusion
    """The scenario's own."""
    pools: tuple[ResolvedPool, ...]
    directory: Path
    """Where relative paths in the scenario start."""
    cell: tuple[int, int] = (0, 1)
    """Which of how many cells of the scenario this is; the first of one is the whole."""
    others: tuple[Model | Diffusion, ...] = ()
    """What pools and classes name besides."""

    @property
    def models(self) -> tuple[Model | Diffusion, ...]:
        """All models, by number."""
        return (self.model, *self.others)

    @property
    def asked(self) -> tuple[int, ...]:
        """The number of the model that the requests of each lane ask for."""
        return tuple(asked_by_lane(self.scenario))

    def error(self, path: KeyPath, message: str) -> SpecError:
        """An error about the value at `path`, with the file and line where it was written, for checks made later on."""
        return SpecError(_origin(self.scenario).problem(path, message))

    def directory_of(self, path: KeyPath) -> Path:
        """Where the relative file name at `path` starts: at the scenario, or where one stands if `--set` brought it."""
        origin = _origin(self.scenario)
        return self.directory if origin.place(path).source == origin.source else Path()

    @property
    def plugin_files(self) -> tuple[Path, ...]:
        """The scenario's plugins; all of them exist."""
        return tuple(self.directory_of(("plugins", i)) / file for i, file in enumerate(self.scenario.plugins))


def resolve(scenario: Scenario) -> ResolvedScenario:
    """The scenario ready to run: profiles found, defaults filled in, everything checked that can be before a run.

    Raises SpecError with every problem; messages name file and line if the scenario was read from a file.
    """
    models, pools = resolve_pools(scenario)
    origin = _origin(scenario)
    update: dict[str, object] = {"pools": [pool.pool for pool in pools]}
    if scenario.horizon_s is not None:
        update["sample_interval_s"] = sample_interval_s(scenario, scenario.horizon_s)
    whole = scenario.model_copy(update=update)
    resolved = ResolvedScenario(whole, models[0], pools, origin.directory, others=models[1:])
    missing = [
        origin.problem(("plugins", i), f"there is no file {path}; plugins lie relative to the scenario")
        for i, path in enumerate(resolved.plugin_files)
        if not path.is_file()
    ]
    if missing:
        raise SpecError(missing)
    return resolved


def resolve_pools(scenario: Scenario) -> tuple[tuple[Model | Diffusion, ...], tuple[ResolvedPool, ...]]:
    """The models, by number, and the pools of a scenario; raises SpecError with all that is unknown or does not fit together."""
    search = _Search(_origin(scenario), [])
    policy = scenario.router.policy
    if policy not in ROUTERS and not scenario.plugins:
        search.note(("router", "policy"), f"unknown policy {policy}; {nearest(policy, ROUTERS)}")
    for check in (check_roles, check_autoscalers, check_regions, check_targets, check_takes, check_models):
        for path, message in check(scenario):
            search.note(path, message)
    models = [search.find(catalogue.any_model, name, path) for path, name in all_models(scenario)]
    known = numbers(scenario)
    asked = [models[known[plain(name)]] for _, name in asked_for(scenario)]
    found = [model for model in asked if model]
    for path, message in check_kinds(scenario.workload, found) if len(found) == len(asked) else ():
        search.note(path, message)
    pools = [_resolve_pool(scenario, index, models, search) for index in range(len(scenario.pools))]
    if search.problems:
        raise SpecError(sorted(search.problems, key=lambda problem: problem.line or 0))
    return tuple(model for model in models if model), tuple(pool for pool in pools if pool)


def sample_interval_s(scenario: Scenario, span_s: float) -> float:
    """Spacing of the timeline of a run in which requests arrive for `span_s` [s]."""
    return scenario.sample_interval_s or max(1.0, span_s / 400)


def resolved_yaml(scenario: Scenario) -> str:
    """A scenario as YAML that can be loaded again; that of a ResolvedScenario has every default written out.

    The same scenario gives the same text anywhere. Relative paths in it stay as they were written.
    """
    text = yaml.dump(
        scenario.model_dump(exclude_none=True), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )
    return (
        f"# The scenario as infersim {__version__} ran it, defaults filled in. Run it again: infersim run FILE\n{text}"
    )


class _Dumper(yaml.SafeDumper):
    """Quotes text that any reader, of YAML 1.1 or 1.2, would take for something else."""


def _quoted_breaks(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text in double quotes where it holds line breaks that YAML would fold (NEL, LS, PS), as it is elsewhere."""
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_breaks)
for _first, _resolvers in CoreSchema.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])


@dataclass(frozen=True)
class _Search:
    """Problems found so far in one scenario, with the file that they are told in."""

    origin: Document
    problems: list[Problem]

    def note(self, path: KeyPath, message: str) -> None:
        self.problems.append(self.origin.problem(path, message))

    def find(self, look_up: Callable[..., Profile], name: str, path: KeyPath) -> Profile | None:
        """A profile by name or path; None, and a problem noted, when there is none or it is faulty."""
        place = self.origin.place(path)
        directory = self.origin.directory if place.source == self.origin.source else Path()
        try:
            return look_up(name, directory)
        except catalogue.UnknownName as error:
            self.note(path, error.message)
        except SpecError as error:
            self.problems.extend(error.problems)
        return None


def _resolve_pool(
    scenario: Scenario, index: int, models: list[Model | Diffusion | None], search: _Search
) -> ResolvedPool | None:
    """One pool with its profiles and defaults; None when something is missing, and every problem noted."""
    pool, path = scenario.pools[index], ("pools", index)
    known = numbers(scenario)
    served_here = tuple(known[plain(name)] for _, name in served(pool, scenario))
    own = [model for number in served_here if (model := models[number])]
    parts = [
        part
        for part, (_, name) in zip(scenario.workload.parts, asked_for(scenario), strict=True)
        if known[plain(name)] in served_here
    ]
    hardware = search.find(catalogue.hardware, pool.hardware, (*path, "hardware"))
    engine = search.find(catalogue.engine, pool.engine, (*path, "engine"))
    if hardware and engine:
        engine = engine.on(hardware)
        hardware, engine = _assumed(pool, hardware, engine, path, search)
    findings = [*check_replicas(pool, scenario.plugins), *check_policies(pool, scenario.plugins)]
    if hardware:
        findings += check_price(hardware, pool)
        for where, message in check_caps(scenario, pool, hardware):
            search.note(where, message)
        findings += check_kv_cache(pool, hardware)
        findings += check_adapters(pool, hardware, parts)
    if engine:
        findings += check_batching(pool, engine)
        findings += check_rows(pool, engine, scenario.workload)
    draft = None
    if pool.speculative and pool.speculative.model:
        draft = search.find(catalogue.model, pool.speculative.model, (*path, "speculative", "model"))
        if draft is None:
            return None
    if hardware and engine:
        findings += check_speculation(pool, hardware, engine)
        findings += check_engine(hardware, engine)
    if draft and own:
        findings += check_draft(draft, own[0])
    if hardware:
        findings += check_several(pool, hardware, own)
        for model in own:
            findings += _check_model(pool, hardware, model, engine is not None and engine.pads_heads)
    findings = list(dict.fromkeys(findings))
    for inner, message in findings:
        search.note((*path, *inner), message)
    if findings or not (hardware and engine and len(own) == len(served_here)):
        return None
    model = own[0]
    stored = stored_dtypes(pool, hardware, model)
    if len(own) > 1 or isinstance(model, Diffusion):
        return replace(_fill(pool, hardware, engine, stored, len(own) > 1), models=served_here)
    if pool.speculative and pool.speculative.method == "mtp":
        draft = prediction_layer(model)
    if hardware.execution == "pipeline" and pool.parallelism.chips is None:
        chips = sram_chips(model, hardware, engine, stored.weights, stored.kv_cache)
        pool = pool.model_copy(update={"parallelism": pool.parallelism.model_copy(update={"chips": chips})})
    return replace(_fill(pool, hardware, engine, stored), draft=draft, models=served_here)


def _check_model(pool: Pool, hardware: Hardware, model: Model | Diffusion, pads_heads: bool) -> Iterator[Finding]:
    """The chips of a pool can store a model and share it."""
    stored = stored_dtypes(pool, hardware, model)
    yield from check_dtype(hardware, stored.weights, "weights", pool.precision.weights is not None)
    yield from check_dtype(hardware, stored.kv_cache, "kv_cache", pool.precision.kv_cache is not None)
    if isinstance(model, Diffusion):
        yield from check_images(pool, hardware)
    else:
        yield from check_layout(pool, hardware, model, pads_heads)


def _assumed(
    pool: Pool, hardware: Hardware, engine: Engine, path: KeyPath, search: "_Search"
) -> tuple[Hardware, Engine]:
    """Both profiles with the numbers that the pool assumes."""
    for key, value in pool.assume.items():
        of_chip, of_engine = numbers_of(hardware), numbers_of(engine)
        try:
            if key in of_chip:
                hardware = assuming(hardware, key, value)
            elif key in of_engine:
                engine = assuming(engine, key, value)
            else:
                what = f"neither {hardware.name} nor {engine.name} has a number {key}"
                search.note((*path, "assume", key), f"{what}; {nearest(key, [*of_chip, *of_engine])}")
        except ValueError as error:
            search.note((*path, "assume", key), str(error))
    return hardware, engine


def stored_dtypes(pool: Pool, hardware: Hardware, model: Model | Diffusion) -> Stored:
    """As given; else the model's own dtype for weights, and for the cache a 16-bit one that the chip can use."""
    sixteen = [dtype for dtype in (model.native_dtype, "bf16", "fp16") if dtype in ("bf16", "fp16")]
    usable = [dtype for dtype in sixteen if hardware.compute_dtype(dtype)]
    weights = pool.precision.weights or model.native_dtype
    return Stored(weights, pool.precision.kv_cache or (usable or sixteen)[0])


def _fill(pool: Pool, hardware: Hardware, engine: Engine, stored: Stored, several: bool = False) -> ResolvedPool:
    """The pool with the defaults of its engine, model and chip written out; dtypes that each of several models has not."""
    chunks = pool.role == "decode" or pool.kv_cache.preemption == "swap"
    policy = pool.batching.policy or ("chunked_prefill" if chunks else engine.batching)
    seqs, tokens = limits(pool, engine)
    block_size, admission = pool.kv_cache.block_size or engine.block_size, pool.kv_cache.admission or engine.admission
    watermark = pool.kv_cache.watermark if pool.kv_cache.watermark is not None else engine.watermark
    choices = [
        one if own_price(one) else one.model_copy(update={"provider": matching_prices(hardware, one)[0].provider})
        for one in (pool.price, *pool.fallbacks)
    ]
    filled = pool.model_copy(
        update={
            "precision": pool.precision
            if several
            else pool.precision.model_copy(update={"weights": stored.weights, "kv_cache": stored.kv_cache}),
            "batching": pool.batching.model_copy(
                update={"policy": policy, "max_num_seqs": seqs, "max_num_batched_tokens": tokens}
            ),
            "kv_cache": pool.kv_cache.model_copy(
                update={"block_size": block_size, "watermark": watermark, "admission": admission}
            ),
            "price": choices[0],
            "fallbacks": choices[1:],
        }
    )
    chips = pool.parallelism.chips or pool.parallelism.tensor * pool.parallelism.pipeline
    return ResolvedPool(filled, hardware, engine, stored, seqs, tokens, block_size, chips)


def _origin(scenario: Scenario) -> Document:
    """The scenario's file, or what stands for it when it was made in Python."""
    return scenario.origin or document_of({}, "scenario")
