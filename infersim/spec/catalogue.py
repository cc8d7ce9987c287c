"""The chips, models, engines and scenarios that travel with infersim, by name; and a user's own, by path.

A name is looked up exactly; only case and `_` for `-` do not matter. h100 is not silently taken for h100-sxm: the error
names the near ones. Commands that only show something pass `prefix=True`, which takes the beginning of a name if one
profile alone begins so, or the one that goes on with -sxm, the usual form of a GPU. What holds a slash or ends in
.yaml, .yml or .json is a path, relative to `directory`.
Not here: what the profiles hold (`hardware.py`, `model.py`, `engine.py`). Read `resolve.py` next.
"""

from functools import lru_cache
from pathlib import Path

from infersim.spec.diffusion import Diffusion
from infersim.spec.document import read_document
from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError, nearest
from infersim.spec.hardware import Hardware
from infersim.spec.huggingface import load_huggingface
from infersim.spec.model import Model
from infersim.spec.profile import load_yaml_model
from infersim.spec.translate import AnySpec

_PACKAGE = Path(__file__).parents[1]


class UnknownName(SpecError):
    """A name that nothing in the catalogue bears, or a path where nothing lies."""

    def __init__(self, message: str) -> None:
        """Hold the message alone: only the caller knows where the name was written."""
        super().__init__(Problem(message, source=""))
        self.message = message

    def __reduce__(self) -> tuple[type["UnknownName"], tuple[str]]:  # type: ignore[override]
        """Pickle by message."""
        return type(self), (self.message,)


def hardware(name: str | Path, directory: Path | None = None, prefix: bool = False) -> Hardware:
    """A chip by name or path. Raises UnknownName, or SpecError for a faulty file."""
    return _look_up("hardware", hardware_names(), _shipped("hardware_profiles"), name, directory, prefix, Hardware)


def engine(name: str | Path, directory: Path | None = None, prefix: bool = False) -> Engine:
    """An engine by name or path. Raises UnknownName, or SpecError for a faulty file."""
    return _look_up("engine", engine_names(), _PACKAGE / "spec" / "engines", name, directory, prefix, Engine)


def model(name: str | Path, directory: Path | None = None, prefix: bool = False) -> Model:
    """A model by name, by the path of a profile, or by that of a Hugging Face config.json or its folder.

    Raises UnknownName, or SpecError for a faulty file and for an architecture that a Model cannot express.
    """
    if _is_path(name):
        path = (directory or Path()) / name
        if (path / "config.json").is_file():
            return load_huggingface(path / "config.json")
        if path.is_file() and path.suffix.lower() == ".json":
            return load_huggingface(path)
    return _look_up("model", model_names(), _PACKAGE / "spec" / "models", name, directory, prefix, Model)


def any_model(name: str | Path, directory: Path | None = None, prefix: bool = False) -> Model | Diffusion:
    """A model of tokens or of images, by name or by path; raises as `model` does. Images have `step_tflop`."""
    if _is_path(name):
        path = (directory or Path()) / name
        images = path.suffix.lower() in (".yaml", ".yml") and path.is_file() and _has_steps(path)
    else:
        images = _plain_name(str(name)) in image_model_names()
    if images:
        names, folder = image_model_names(), _PACKAGE / "spec" / "image_models"
        return _look_up("model", names, folder, name, directory, prefix, Diffusion)
    return model(name, directory, prefix)


def _has_steps(path: Path) -> bool:
    data = read_document(path).data
    return isinstance(data, dict) and "step_tflop" in data


def hardware_names() -> list[str]:
    """Names of the shipped chips."""
    return _names(_shipped("hardware_profiles"))


def engine_names() -> list[str]:
    """Names of the shipped engines."""
    return _names(_PACKAGE / "spec" / "engines")


def model_names() -> list[str]:
    """Names of the shipped models."""
    return _names(_PACKAGE / "spec" / "models")


def image_model_names() -> list[str]:
    """Names of the shipped diffusion models."""
    return _names(_PACKAGE / "spec" / "image_models")


def scenario_names() -> list[str]:
    """Names of the shipped scenarios; one in a folder goes by folder and name: claims/08_groq."""
    return sorted(_names(_shipped("scenarios")) + _names(_shipped("scenarios"), "*/*.yaml"))


def scenario_path(name: str | Path) -> Path:
    """The file of a scenario: a path as it stands, or the name of a shipped scenario (chat_burst).

    Raises UnknownName when there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = {_plain_name(stem): stem for stem in scenario_names()}
    named = known.get(_plain_name(path.as_posix()))
    if named and (not _is_path(name) or "/" in named):
        return _shipped("scenarios") / f"{named}.yaml"
    shipped = known.get(_plain_name(path.name.removesuffix(".yaml")))
    if not _is_path(name) and shipped:
        return _shipped("scenarios") / f"{shipped}.yaml"
    if path.is_dir():
        raise UnknownName(f"{name} is a folder; name a scenario file in it")
    if shipped:
        raise UnknownName(f"there is no file {name}; the shipped scenario goes by its name alone: {shipped}")
    if _is_path(name):
        raise UnknownName(f"there is no file {name}; shipped scenarios go by name: {', '.join(scenario_names())}")
    raise UnknownName(
        f"there is neither a file nor a shipped scenario called {name}; {nearest(str(name), scenario_names())}"
    )


def _look_up(
    kind: str,
    names: list[str],
    folder: Path,
    name: str | Path,
    directory: Path | None,
    prefix: bool,
    cls: type[AnySpec],
) -> AnySpec:
    """One profile, by path or by name."""
    if _is_path(name):
        path = (directory or Path()) / name
        if not path.is_file():
            raise UnknownName(f"there is no file {path}; shipped {kind} profiles go by name: {', '.join(names)}")
        return load_yaml_model(path, cls)
    wanted = _plain_name(str(name))
    matches = [known for known in names if _plain_name(known) == wanted]
    if prefix and wanted and not matches:
        matches = [known for known in names if _plain_name(known).startswith(wanted)]
        matches = [known for known in matches if known == f"{wanted}-sxm"] or matches  # the usual form of a GPU
    if len(matches) != 1:
        raise UnknownName(f"unknown {kind} {name}; {nearest(str(name), matches or names)}")
    return _shipped_profile(folder / f"{matches[0]}.yaml", cls)


@lru_cache(maxsize=256)
def _shipped_profile(path: Path, cls: type[AnySpec]) -> AnySpec:
    """A shipped profile, read once: unlike a user's file it does not change while a program runs."""
    return load_yaml_model(path, cls)


def _is_path(name: str | Path) -> bool:
    return isinstance(name, Path) or "/" in name or "\\" in name or name.lower().endswith((".yaml", ".yml", ".json"))


def _plain_name(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _names(folder: Path, pattern: str = "*.yaml") -> list[str]:
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob(pattern))


def _shipped(folder: str) -> Path:
    """A folder that lies at the top of a checkout, and inside the package of an installed infersim."""
    installed = _PACKAGE / "_shipped" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
