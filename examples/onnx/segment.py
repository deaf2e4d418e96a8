"""Masks with ONNX Runtime alone, from what `tinct export-model feelvos --to DIR` wrote; no tinct, no torch.

python examples/onnx/segment.py DIR FRAMES MASK.png OUT
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def resized(maps, size):
    """Planes [L, h, w] at a size (H, W), bilinear with pixel centres aligned."""
    planes = [Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR) for plane in maps]
    return np.stack([np.asarray(plane) for plane in planes])


def share_of_cells(labels, ids, size):
    """Each label's share of each cell of 8×8 pixels: [L, h, w]."""
    small = np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))
    cells = (small == np.array([0, *ids])[:, None, None]).astype(np.float32)
    return cells.reshape(len(cells), size[0] // 8, 8, size[1] // 8, 8).mean((2, 4))


def by_pixels(maps):
    """[K, h, w] as [h · w, K]."""
    return np.ascontiguousarray(maps.reshape(len(maps), -1).T)


def main(model, frames, mask, out):
    """Segment a folder of frames from the palette PNG of the first."""
    numbers = json.loads((model / "model.json").read_text(encoding="utf-8"))["numbers"]
    encode, step = (onnxruntime.InferenceSession(str(model / f"{name}.onnx")) for name in ("encode", "step"))
    picture = Image.open(mask)
    labels = np.asarray(picture)
    ids = [i for i in np.unique(labels) if 0 < i < 255]
    factor = min(2.0, numbers["working_height"] / min(labels.shape))
    size = tuple(max(8, round(side * factor / 8) * 8) for side in labels.shape)
    out.mkdir(parents=True, exist_ok=True)
    state, memory = {}, []
    for index, path in enumerate(sorted(frames.iterdir())):
        frame = np.asarray(Image.open(path).convert("RGB").resize(size[::-1], Image.Resampling.BOX))
        if index == 0:
            _, embedding, _ = encode.run(None, {"frame": frame})
            probs, found = share_of_cells(labels, ids, size), labels
            prompt = by_pixels(embedding[0]), by_pixels(probs)
        else:
            pixels, owners = (np.concatenate(parts) for parts in zip(prompt, *memory, strict=True))
            reference = {"reference_embedding": pixels, "reference_membership": owners}
            logits, embedding, probs = step.run(None, {"frame": frame, **reference, **state})
            found = np.array([0, *ids], np.uint8)[resized(logits, labels.shape).argmax(0)]
            if index % numbers["memory_every"] == 0:
                weight, thinned = numbers["memory_weight"], numbers["memory_thinning"]
                seen = by_pixels(embedding[0])[::thinned], by_pixels(probs * weight * thinned)[::thinned]
                memory = [*memory, seen][-numbers["memory_frames"] :]
        state = {"previous_embedding": embedding, "previous_probs": probs}
        result = Image.fromarray(found)
        if picture.getpalette():
            result.putpalette(picture.getpalette())
        result.save(out / f"{path.stem}.png")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
