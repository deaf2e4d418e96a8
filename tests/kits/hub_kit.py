"""A hub without a network: the real functions' signatures, and repositories that are folders."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name; downloads and uploads are checked against the library's own signatures.

    Args:
        root: Where its folders lie.
        monkeypatch: Puts it in the place of the library's functions.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.errors = root, {}
        self.asked: list[dict[str, Any]] = []
        self.uploaded: dict[str, Path] = {}
        download = inspect.signature(huggingface_hub.snapshot_download)
        create, upload = (
            inspect.signature(getattr(huggingface_hub.HfApi, name))
            for name in ("create_repo", "upload_folder")
        )

        def snapshot_download(*values: Any, **named: Any) -> str:
            bound = download.bind(*values, **named).arguments
            self.asked.append(bound)
            if bound["repo_id"] in self.errors:
                raise self.errors[bound["repo_id"]]
            return str(self.folder(bound["repo_id"]))

        def create_repo(api: Any, *values: Any, **named: Any) -> None:
            self.asked.append(create.bind(api, *values, **named).arguments)

        def upload_folder(api: Any, *values: Any, **named: Any) -> Any:
            bound = upload.bind(api, *values, **named).arguments
            if bound["repo_id"] in self.errors:
                raise self.errors[bound["repo_id"]]
            shutil.copytree(bound["folder_path"], self.folder(bound["repo_id"]), dirs_exist_ok=True)
            url = f"https://huggingface.co/{bound['repo_id']}/commit/{COMMIT}"
            return huggingface_hub.CommitInfo(url, bound["commit_message"], "", COMMIT)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
        monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)

    def folder(self, repo: str) -> Path:
        """Where a repository's newest commit lies, as in the library's cache."""
        path = self.root / repo.replace("/", "--") / "snapshots" / COMMIT
        path.mkdir(parents=True, exist_ok=True)
        return path


def http_error(kind: type[Exception], message: str) -> Exception:
    """One of the library's errors of a status."""
    from huggingface_hub.errors import HfHubHTTPError

    error = kind.__new__(kind)
    assert isinstance(error, HfHubHTTPError)
    Exception.__init__(error, message)
    return error
