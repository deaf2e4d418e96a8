"""Segmentation in the middle of a Ray Data pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tinct.batch.actors import ActorOptions
from tinct.batch.cluster import ray_module
from tinct.batch.manifest import VideoRow
from tinct.batch.results import failed
from tinct.batch.stores import absolute, local_path, short_name, staging_folder
from tinct.batch.video_job import VideoOptions
from tinct.batch.videos import VideoSegmentation
from tinct.errors import WorkerError


class RowSegmentation:
    """Segments rows of a dataset; Ray Data makes one in each actor.

    Ray Data tries a row again whenever its actor dies, for ever. So each try is counted on disk before it
    begins, and a row that ended too many processes is set aside.

    Args:
        options: Of every video.
        retries: How often a row is tried again whose process died.
    """

    def __init__(self, options: VideoOptions, retries: int) -> None:
        self._segmentation, self._options, self._retries = VideoSegmentation(options), options, retries

    def __call__(self, values: dict[str, Any]) -> dict[str, Any]:
        """The row with the columns of the table; `video` and `name` stay as they came."""
        name, video = str(values.get("name") or ""), str(values.get("video") or "")
        try:
            row = VideoRow.read(values)
            name = row.name
            result = self._counted(row)
        except Exception as error:
            result = failed(name, video, error)
        return {**result, **values}

    def _counted(self, row: VideoRow) -> dict[str, Any]:
        out = local_path(self._options.out)
        folder = staging_folder(self._options.staging) if out is None else out / ".unfinished"
        tries = folder / f"{short_name(f'{self._options.out} {row.name}')}.tries"
        deaths = len(tries.read_bytes()) if tries.exists() else 0
        if deaths > self._retries:
            tries.unlink()
            raise WorkerError(
                f"{deaths} processes in a row died of the video {row.name!r}, which is set aside."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tries.open("ab") as stream:
            stream.write(b".")
        try:
            return self._segmentation(row)
        finally:
            tries.unlink(missing_ok=True)


def segment_dataset(
    dataset: Any, out: str | Path, options: VideoOptions | None = None, actors: ActorOptions | None = None
) -> Any:
    """Segment the videos of a Ray dataset; lazily, as its other operations are.

    Args:
        dataset: A `ray.data.Dataset` with the columns of a manifest (`tinct.batch.manifest.COLUMNS`); other
            columns stay. Relative paths are seen from the working directory. Each name may come once.
        out: Where the outputs go (`videos/<name>/`), anywhere that fsspec reaches from all machines. What is
            complete there already is not computed again.
        options: What is done with each video; its `out` is not used.
        actors: What each takes of the cluster.

    Returns:
        A `ray.data.Dataset` with the columns of the table added: status, error, frames, seconds,
        peak_memory_mb, confidence, where and others.

    Raises:
        OptionError: Ray is not installed.

    Example:
        >>> clips = ray.data.read_parquet("clips.parquet")
        >>> segment_dataset(clips, "s3://bucket/masks").filter(lambda row: row["confidence"] < 0.5)
    """
    ray = ray_module("`segment_dataset`")
    chosen, settings = actors or ActorOptions(), replace(options or VideoOptions(""), out=absolute(str(out)))
    most = chosen.most or max(1, int(ray.cluster_resources().get("CPU", 1) // chosen.cpus))
    # A block per video: what a machine's death costs is one video, and each is seen as soon as it is done.
    return dataset.repartition(target_num_rows_per_block=1).map(
        RowSegmentation,
        fn_constructor_args=(settings, chosen.retries),
        num_cpus=chosen.cpus,
        num_gpus=chosen.gpus or None,
        concurrency=(1, most),
    )
