"""Weights on the Hugging Face hub: `hf://user/repo`, optionally `@revision`, in the hub's own cache.

Only safetensors and what describes them are fetched, never a pickle. What was fetched is pinned: the commit's
hash goes into `run.json`, and `hf://user/repo@hash` gives the same bytes for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinct.errors import MissingWeightsError, OptionError, WeightsError
from tinct.io.json_files import parse_json, reading
from tinct.io.optional import import_optional
from tinct.io.regular_files import read_regular
from tinct.zoo.methods import METHODS

SCHEME = "hf://"

FETCHED = ("*.safetensors", "*.safetensors.index.json", "config.json", "card.json", "README.md", "LICENSE*")
"""What is fetched of a repository, if it is there."""

_REPOSITORY = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubReference:
    """A repository of the hub at a revision.

    Attributes:
        repo: `user/name`.
        revision: A branch, tag or commit; None for the newest.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        """`hf://user/repo@revision`."""
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def page(self) -> str:
        """Where people read about it."""
        return f"https://huggingface.co/{self.repo}"


def hub_reference(text: str | Path, *, bare: bool = False) -> HubReference | None:
    """The repository that a text names; None if it names a file.

    Args:
        text: What was given as weights.
        bare: Take `user/repo` for a repository, too, where there is no such path.

    Raises:
        OptionError: It begins with `hf://`, and goes on with no repository.
    """
    text = str(text)
    # A `Path` makes one slash of two.
    marked = re.match(r"hf:/+", text)
    found = _REPOSITORY.fullmatch(text[marked.end() :] if marked else text)
    if found is None and marked:
        raise OptionError(f"{text!r} names no repository; write hf://user/repo or hf://user/repo@revision.")
    if found is None or not (marked or (bare and not Path(text).exists())):
        return None
    return HubReference(found["repo"], found["revision"])


def absolute_weights(weights: str | None) -> str | None:
    """Weights by a name that holds in other working directories: the absolute path of what is here."""
    if weights is None or not Path(weights).exists():
        return weights
    return str(Path(weights).absolute())


def download(reference: HubReference) -> tuple[Path, HubReference]:
    """A repository's folder in the hub's cache, fetched if it is not there, and the commit that it is of.

    Raises:
        WeightsError: There is no such repository or revision, it asks for consent first, the hub cannot be
            reached and the cache lacks it, or it holds no safetensors; the message says what to do.
    """
    huggingface_hub = import_optional("huggingface_hub", "hub", "A repository of the hub")
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                reference.repo,
                revision=reference.revision,
                allow_patterns=list(FETCHED),
                library_name="tinct",
            )
        )
    except (OSError, ValueError) as error:  # the hub's errors, those of the network, and of the disk
        raise _explained(reference, error) from error
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{reference} holds no safetensors, and pickles (.pt, .bin) are refused, since they could run "
            f"any code; take another repository, or convert the weights ({reference.page})."
        )
    return folder, HubReference(reference.repo, folder.name)


def _explained(reference: HubReference, error: Exception) -> WeightsError:
    """What was wrong, and what a person can do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return WeightsError(
            f"{reference} is gated: its authors want consent to their terms first. Ask for access at "
            f"{reference.page}, log in with `hf auth login` (or set HF_TOKEN), and run this again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return MissingWeightsError(
            f"{reference.repo} has no revision {reference.revision!r}; its revisions are at {reference.page}."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return MissingWeightsError(
            f"There is no repository {reference.repo} on the hub, or it is private; check the name at "
            f"{reference.page}, or log in with `hf auth login`."
        )
    first = str(error).strip().partition("\n")[0]
    at = f" --revision {reference.revision}" if reference.revision else ""
    return WeightsError(
        f"{reference} is not in the cache, and cannot be fetched ({type(error).__name__}: {first}). Where "
        f"there is a network: `hf download {reference.repo}{at} --local-dir DIR`; then give --weights DIR."
    )


def single_file(folder: Path, reference: HubReference) -> Path:
    """The one safetensors file of a repository that holds weights of tinct."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files)
        raise WeightsError(
            f"{reference} holds {len(files)} files of weights ({names}); tinct's are one file, as "
            "`tinct push` uploads it. Download the one that you want, and give --weights FILE."
        )
    return files[0]


def method_on_hub(reference: HubReference) -> tuple[str, str]:
    """The method and variant that a repository's weights are for; it is fetched if it is not in the cache.

    Raises:
        WeightsError: It cannot be had, or tinct knows no method for it.
    """
    folder, _ = download(reference)
    config = folder / "config.json"
    if config.is_file():
        with reading(config, "a config of transformers", "Download it again.", WeightsError):
            model_type = str(parse_json(read_regular(config)).get("model_type"))
        for method, record in METHODS.items():
            for variant, weights in record.hub.items():
                if weights.repo == reference.repo:
                    return method, variant
        known = {"sam2_video": "sam2", "edgetam_video": "edgetam"}
        known |= dict.fromkeys(("sam3_video", "sam3_tracker_video"), "sam3_tracker")
        if model_type in known:
            return known[model_type], METHODS[known[model_type]].default_variant
        raise WeightsError(
            f"{reference} holds a model of the type {model_type!r}, which no method of tinct runs; those are "
            f"{', '.join(known)}, and weights that `tinct push` uploaded."
        )
    from tinct.io.weights_file import read_owner  # NumPy: not for `--help`

    return read_owner(single_file(folder, reference))


def push_folder(folder: Path, repo: str, message: str, *, private: bool = False) -> str:
    """Upload a folder to a repository, which is made if it is not there; the address of the commit.

    Raises:
        WeightsError: The hub refused it, or cannot be reached.
    """
    huggingface_hub = import_optional("huggingface_hub", "hub", "`tinct push`")
    api: Any = huggingface_hub.HfApi(library_name="tinct")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message=message, repo_type="model"
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{repo} cannot be written on the hub ({type(error).__name__}: {first}). Log in with "
            "`hf auth login`, with a token that may write, and check the name: user/repo."
        ) from error
    return str(commit.commit_url)
