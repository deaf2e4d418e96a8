"""The methods by name, their weights with the source of every score, and one builder for all.

A new method is one row of `METHODS`. Its weights lie in `tinct/weights/` as
`<method>_<variant>.safetensors`, with a model card `<method>_<variant>.json` beside them.
Nothing here imports torch until a segmenter is built.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from tinct.errors import MissingWeightsError, OptionError, WeightsError, near_match
from tinct.inference.devices import resolve_device
from tinct.inference.threads import apply_to_torch
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular
from tinct.zoo.backends import choose_backend, needs_torch
from tinct.zoo.hashes import file_sha256, folder_sha256
from tinct.zoo.hub import HubReference, download, hub_reference, method_on_hub, single_file
from tinct.zoo.methods import check_capability, method_record, methods_where, weights_owner
from tinct.zoo.records import Score

if TYPE_CHECKING:
    import torch

    from tinct.fine_tuning.budget import Budget
    from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
    from tinct.networks.dyenet.proposal_sources import ProposalSource
    from tinct.networks.flow import FlowEstimator

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
"""Where the package keeps its weights and their model cards."""


@dataclass(frozen=True)
class WeightsRecord:
    """A model card: one weights file and everything that one should know about it.

    Args:
        method: As in `METHODS`.
        variant: As in `METHODS`.
        file: Name inside the package's weights folder.
        sha256: Of that file, 64 hexadecimal digits.
        recipe: The command that trained it.
        data: What it learnt from, with the data's terms.
        hardware: What it was trained on.
        seconds: How long that took.
        scores: Name of the benchmark and measure → score.
        seconds_per_frame: What one thread of that hardware takes for a frame of 854×480 pixels and one
            object with the default preset, fine-tuning apart; None if it was not measured.
    """

    method: str
    variant: str
    file: str
    sha256: str
    recipe: str
    data: str
    hardware: str
    seconds: float
    scores: Mapping[str, Score]
    seconds_per_frame: float | None = None

    @property
    def path(self) -> Path:
        """The weights file."""
        return WEIGHTS_FOLDER / self.file


_CARD_FIELDS = tuple(f.name for f in dataclasses.fields(WeightsRecord) if f.default is dataclasses.MISSING)
"""What every card must hold."""


def check_variant(method: str, variant: str | None) -> str:
    """The variant itself, or the method's default for None; an unknown one raises OptionError."""
    record = weights_owner(method)
    if variant is None:
        return record.default_variant
    if variant not in record.variants:
        raise OptionError(f"{method} has no variant {variant!r}. {near_match(variant, record.variants)}")
    return variant


def weights_record(method: str, variant: str) -> WeightsRecord | None:
    """The model card of the weights in the package; None if the package has none for this variant.

    Raises:
        OptionError: Unknown method or variant.
        WeightsError: The card is not what a card should be.
    """
    check_variant(method, variant)
    path = WEIGHTS_FOLDER / f"{method}_{variant}.json"
    return read_card(path) if path.exists() else None


def read_card(path: Path) -> WeightsRecord:
    """Read a model card; keys beyond those of `WeightsRecord` are for people and are passed over.

    Raises:
        WeightsError: It is no JSON, or lacks something.
    """
    fix = f"It must hold {', '.join(_CARD_FIELDS)}; install tinct again."
    with reading(path, "a model card", fix, WeightsError):
        card = parse_json(read_regular(path))
        values = {name: card[name] for name in _CARD_FIELDS}
        values["seconds"] = float(card["seconds"])
        if card.get("seconds_per_frame") is not None:
            values["seconds_per_frame"] = float(card["seconds_per_frame"])
        values["scores"] = {
            name: Score(float(score["value"]), score["source"], score["command"])
            for name, score in card["scores"].items()
        }
        return WeightsRecord(**values)


class LocatedWeights(NamedTuple):
    """Weights that are on this machine.

    Attributes:
        path: A safetensors file; for networks of `transformers` a folder.
        sha256: Of the safetensors.
        hub: Where they came from, with the commit, if it was the hub.
    """

    path: Path
    sha256: str
    hub: HubReference | None = None


def resolve_weights(method: str, variant: str, weights: Path | str | None) -> LocatedWeights:
    """The weights to load and their SHA-256; for None the package's own, or those that the record names.

    Args:
        method: A name of `METHODS`.
        variant: One of its variants.
        weights: A file or folder; `hf://user/repo`, for methods with weights on the hub also `user/repo`.

    Raises:
        WeightsError: No such file, none in the package, or not the file that the card describes; or the
            hub's cannot be had (`tinct.zoo.hub.download`).
    """
    on_hub = weights_owner(method).hub
    if weights is None and variant in on_hub:
        weights = f"hf://{on_hub[variant].repo}"
    if weights is not None:
        reference = hub_reference(weights, bare=bool(on_hub))
        if reference is None:
            path = Path(weights)
            return LocatedWeights(path, folder_sha256(path) if path.is_dir() else file_sha256(path))
        folder, pinned = download(reference)
        path = folder if on_hub else single_file(folder, reference)
        return LocatedWeights(path, folder_sha256(folder), pinned)
    record = weights_record(method, variant)
    joined = weights_owner(method).joined.get(variant)
    if record is None and joined:
        raise WeightsError(
            f"The package holds no weights for {method} {variant}; join those of {' and '.join(joined)} with "
            f"`tinct join {method}` and give the file with --weights FILE."
        )
    if record is None:
        raise MissingWeightsError(
            f"The package holds no weights for {method} {variant}; give some with --weights FILE "
            f"(build_segmenter(weights=...)), train them (tinct train {method} --variant {variant}), or take "
            "a variant that `tinct models` lists with weights."
        )
    found = file_sha256(record.path)
    if found != record.sha256:
        raise WeightsError(
            f"{record.path} has the SHA-256 {found[:12]}…, its card says {record.sha256[:12]}…; the file is "
            "damaged or of another version. Install tinct again."
        )
    return LocatedWeights(record.path, found)


def join_weights(method: str, files: Mapping[str, Path], out: Path) -> str:
    """Write the weights of a variant that joins others' (`MethodRecord.joined`), from those of these.

    Args:
        method: A name of `METHODS`.
        files: Variant → its weights; which variant they make follows from their names.
        out: Ends in `.safetensors`; an existing file is replaced.

    Returns:
        The SHA-256 of the file.

    Raises:
        OptionError: An unknown method, or one without such a variant; or no such variants together.
        WeightsError: A file is missing, of another variant, or does not fit the others.
        OutputError: The file cannot be written.
    """
    record = method_record(method)
    if not record.joined:
        raise OptionError(
            f"No variant of {method} joins others' weights; {' and '.join(methods_where('joined'))} has one."
        )
    if not any(set(files) == set(parts) for parts in record.joined.values()):
        known = "; ".join(f"{variant}: {' and '.join(parts)}" for variant, parts in record.joined.items())
        raise OptionError(f"Weights of {' and '.join(files)} came; {method} joins those of {known}.")
    sha256: str = method_module(method).join_weights(files, out)
    return sha256


def method_module(method: str) -> Any:
    """The module of a method: its `Options`, `PRESETS` and `build`.

    Raises:
        OptionError: There is no such method.
        MissingExtraError: It needs torch, and torch is not installed.
    """
    try:
        return importlib.import_module(weights_owner(method).module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in (
            "torch",
            "torchvision",
            "timm",
            "jaxtyping",
        ):
            raise
        raise needs_torch(method) from error


@overload
def build_segmenter(
    method: Literal["feelvos", "osvos", "masktrack"] = "feelvos",
    variant: str | None = None,
    preset: str = "default",
    weights: Path | str | None = None,
    device: str | torch.device = "auto",
    *,
    fine_tune: str | None = None,
    flow: FlowEstimator | None = None,
    proposals: ProposalSource | None = None,
    backend: str = "auto",
    **overrides: Any,
) -> StreamingSegmenter[Any]: ...
@overload
def build_segmenter(
    method: str,
    variant: str | None = None,
    preset: str = "default",
    weights: Path | str | None = None,
    device: str | torch.device = "auto",
    *,
    fine_tune: str | None = None,
    flow: FlowEstimator | None = None,
    proposals: ProposalSource | None = None,
    backend: str = "auto",
    **overrides: Any,
) -> StreamingSegmenter[Any] | VideoSegmenter: ...
def build_segmenter(
    method: str = "feelvos",
    variant: str | None = None,
    preset: str = "default",
    weights: Path | str | None = None,
    device: str | torch.device = "auto",
    *,
    fine_tune: str | None = None,
    flow: FlowEstimator | None = None,
    proposals: ProposalSource | None = None,
    backend: str = "auto",
    **overrides: Any,
) -> StreamingSegmenter[Any] | VideoSegmenter:
    """A segmenter, ready for `segment_video`.

    Args:
        method: A name of `METHODS`; or `hf://user/repo`, whose weights say what they are for.
        variant: None for the method's default.
        preset: `default`, `fast`, `paper` (nothing beyond the paper), or one that only some methods have.
        weights: A safetensors file, or `hf://user/repo` or `hf://user/repo@revision` on the hub; None for
            the one in the package. SAM 2 and its kin take a folder or `user/repo`, too; None for the
            variant's own repository.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ... or `mps`; or a `torch.device`.
        fine_tune: How long each object is learnt on the annotated frames: `auto`, `none`, a number of
            steps such as `200`, or seconds such as `60s`; None leaves it to the preset.
        flow: Gives the optical flow to a method that uses it; None for its own choice.
        proposals: Gives boxes to a method that looks for objects in them; None for its own.
        backend: `auto`, `torch` or `onnx`; see `zoo.backends.choose_backend`.
        **overrides: Fields of the method's `Options`.

    Raises:
        OptionError: An unknown method, variant, preset, option or device; a method that does not
            fine-tune, or uses no flow or proposals, was asked to.
        WeightsError: The weights are missing or not what they should be.
    """
    reference = hub_reference(method)
    if reference is not None:
        weights = weights or method
        method, found = method_on_hub(reference)
        variant = variant or found
    variant = check_variant(method, variant)
    options = preset_options(method, variant, preset)
    known = [field.name for field in dataclasses.fields(options)]
    for name in overrides:
        if name not in known:
            raise OptionError(f"{method} has no option {name!r}. {near_match(name, known)}")
    chosen = backend_of(method, variant, preset, backend, device, overrides)
    target = "cpu" if chosen == "onnx" else resolve_device(device)
    apply_to_torch()
    on_torch = None if isinstance(target, str) else target
    budget = fine_tuning_budget(method, variant, preset, fine_tune, on_torch)
    if fine_tune is not None and budget is not None:
        tuning = overrides.get("fine_tuning", options.fine_tuning)
        overrides["fine_tuning"] = dataclasses.replace(tuning, budget=budget)
    if flow is not None:
        check_capability(method, "uses_flow")
        overrides["flow"] = flow
    if proposals is not None:
        check_capability(method, "uses_proposals")
        overrides["proposals"] = proposals
    path = resolve_weights(method, variant, weights).path
    module = method_module(method)
    if chosen == "onnx":
        overrides["backend"] = chosen
    segmenter: StreamingSegmenter[Any] | VideoSegmenter = module.build(
        variant, preset, path, target, **overrides
    )
    return segmenter


def backend_of(
    method: str,
    variant: str | None,
    preset: str,
    backend: str,
    device: str | torch.device,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The backend that `build_segmenter` will take: "torch" or "onnx"; errors as `choose_backend`'s."""
    variant = check_variant(method, variant)
    chosen = choose_backend(method, variant, backend, str(device))
    if chosen == "onnx" and backend == "auto":
        options = dataclasses.replace(preset_options(method, variant, preset), **overrides)
        if method_module(method).missing_graph(options):
            return choose_backend(method, variant, "torch", str(device))
    return chosen


def preset_options(method: str, variant: str | None, preset: str) -> Any:
    """A preset's `Options`; an unknown method, variant or preset raises OptionError."""
    variant = check_variant(method, variant)
    presets = method_module(method).PRESETS
    if preset not in presets[variant]:
        others = [name for name, known in presets.items() if preset in known]
        hint = f"{' and '.join(others)} {'have' if len(others) > 1 else 'has'} it; " if others else ""
        raise OptionError(
            f"{method} {variant} has no preset {preset!r}. {hint}{near_match(preset, presets[variant])}"
        )
    return presets[variant][preset]


def fine_tuning_budget(
    method: str, variant: str | None, preset: str, fine_tune: str | None, device: torch.device | None
) -> Budget | None:
    """How long each object will be fine-tuned; None for a method that does not do that.

    Args:
        method: A name of `METHODS`.
        variant: None for the method's default.
        preset: Its budget counts where `fine_tune` is None.
        fine_tune: As for `build_segmenter`.
        device: What `auto` is judged by.

    Raises:
        OptionError: The text is no budget, or the method does not fine-tune.
    """
    if not method_record(method).fine_tunes:
        if fine_tune in (None, "none"):
            return None
        check_capability(method, "fine_tunes")
    from tinct.fine_tuning.budget import Budget

    if fine_tune is not None:
        return Budget.parse(fine_tune, device)
    budget: Budget = preset_options(method, variant, preset).fine_tuning.budget
    return budget
