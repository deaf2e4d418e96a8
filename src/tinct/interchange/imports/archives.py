"""The annotation file inside a ZIP, as CVAT and Roboflow export it; nothing is unpacked to the disk."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tinct.errors import MaskError

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def annotation_in_zip(path: Path, max_bytes: int) -> bytes:
    """The content of the only JSON or XML file of a ZIP.

    Args:
        path: The ZIP.
        max_bytes: Maximum size of that file.

    Raises:
        MaskError: There is no such file or several, or it is too large, encrypted or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if _is_annotation(info)]
            if len(found) != 1:
                names = ", ".join(info.filename for info in found[:3])
                raise MaskError(
                    f"{path.name} holds {len(found)} JSON or XML files{f' ({names})' if names else ''}; "
                    "expected one. Unzip it, and give the files of this video."
                )
            info = found[0]
            if info.flag_bits & 1 or info.compress_type not in _COMPRESSIONS:
                raise MaskError(
                    f"{info.filename} in {path.name} is encrypted, or packed in a way that is not read. "
                    "Unzip it, and give that file."
                )
            # The header may lie about the size, so no more than that is unpacked either.
            with archive.open(info) as file:
                content = file.read(max_bytes + 1)
            if max(info.file_size, len(content)) > max_bytes:
                raise MaskError(
                    f"{info.filename} in {path.name} has more than {max_bytes // 2**20} MB, which is not "
                    "read. Export the painted frames alone."
                )
            return content
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, MaskError):
            raise
        raise MaskError(f"{path.name} cannot be read: {error}. Export it again.") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise MaskError(f"{path.name} is a damaged ZIP ({error}); export it again.") from error


def _is_annotation(info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename)
    hidden = name.name.startswith(".") or "__MACOSX" in name.parts
    return name.suffix.lower() in (".json", ".xml") and not hidden and not info.is_dir()
