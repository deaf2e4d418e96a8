"""The three families with small random networks, and `transformers`' own loop over them for comparison."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from tinct.inference.promptable import ObjectPrompt
from tinct.methods.edgetam import EdgeTam
from tinct.methods.sam2 import Sam2
from tinct.methods.sam3_tracker import Sam3Tracker
from tinct.networks.sam2.network import NetworkParts
from tinct.networks.sam2.tracker import MemoryTracker, TrackerOptions

transformers = pytest.importorskip("transformers")

SIDE = 64
"""Of the networks' square frames in pixels; SAM 3's have 56, four of its patches."""

MEMORY = {"num_maskmem": 4, "max_object_pointers_in_encoder": 6}
"""Short memories, so that twenty frames outlive them."""

_DECODER = {"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 16, "num_attention_heads": 2}
_ATTENTION = {
    "memory_attention_hidden_size": 128,
    "memory_attention_num_layers": 1,
    "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64,
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_num_layers": 1,
    "memory_fuser_intermediate_dim": 64,
}


def _prompt_encoder(side: int = SIDE, patch: int = 16) -> dict[str, Any]:
    return {"hidden_size": 128, "image_size": side, "patch_size": patch}


def _sam2(**changes: Any) -> Any:
    backbone = {
        "hidden_size": 8, "image_size": [SIDE, SIDE], "num_attention_heads": 1,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [4, 4, 4, 4], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4], "model_type": "sam2_hiera_det_model",
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "model_type": "sam2_vision_model",
    }  # fmt: skip
    config = transformers.Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config=_prompt_encoder(), mask_decoder_config=_DECODER,
        image_size=SIDE, memory_attention_rope_feat_sizes=[4, 4],
        memory_attention_feed_forward_hidden_size=32, **_ATTENTION, **{**MEMORY, **changes},
    )  # fmt: skip
    return transformers.Sam2VideoModel(config)


def _edgetam(**changes: Any) -> Any:
    vision = {
        "backbone_config": {
            "model_type": "timm_wrapper", "architecture": "repvit_m1.dist_in1k", "num_classes": 2,
            "model_args": {
                "in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3],
                "embed_dim": [8, 16, 32, 64], "depth": [1, 1, 1, 1],
            },
        },
        "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "model_type": "edgetam_vision_model",
    }  # fmt: skip
    config = transformers.EdgeTamVideoConfig(
        vision_config=vision, prompt_encoder_config=_prompt_encoder(), mask_decoder_config=_DECODER,
        image_size=SIDE, memory_attention_rope_feat_sizes=[4, 4], memory_attention_rope_k_sizes=[2, 2],
        memory_attention_mlp_hidden_size=32, perceiver_resampler_num_latents=4,
        perceiver_resampler_num_latents_2d=4, perceiver_resampler_num_layers=1,
        perceiver_resampler_mlp_intermediate_size=32, **_ATTENTION, **{**MEMORY, **changes},
    )  # fmt: skip
    return transformers.EdgeTamVideoModel(config)


def _sam3(**changes: Any) -> Any:
    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "window_size": 2,
        "global_attn_indexes": [1], "pretrain_image_size": 28,
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "fpn_hidden_size": 128, "model_type": "sam3_vision_model",
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    config = transformers.Sam3TrackerVideoConfig(
        vision_config=vision, prompt_encoder_config=_prompt_encoder(56, 14), mask_decoder_config=_DECODER,
        image_size=56, memory_attention_feed_forward_hidden_size=32, **_ATTENTION, **{**MEMORY, **changes},
    )  # fmt: skip
    return transformers.Sam3TrackerVideoModel(config)


_MADE = {"sam2": _sam2, "edgetam": _edgetam, "sam3_tracker": _sam3}
FAMILIES = tuple(_MADE)


def tiny_network(family: str, seed: int = 0, **changes: Any) -> Any:
    """A network of a family, in evaluation mode, random, but sure that its object is there."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = _MADE[family](**changes).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embed" not in name and parameter.ndim > 1:
                parameter.mul_(4)
            elif parameter.ndim == 1 or "no_" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
        network.memory_temporal_positional_encoding.normal_()
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(1.0)
    return network


TRACKERS: dict[str, type[MemoryTracker]] = {"sam2": Sam2, "edgetam": EdgeTam, "sam3_tracker": Sam3Tracker}

_SESSIONS = {
    "sam2": "sam2_video.modeling_sam2_video.Sam2Video",
    "edgetam": "edgetam_video.modeling_edgetam_video.EdgeTamVideo",
    "sam3_tracker": "sam3_tracker_video.modeling_sam3_tracker_video.Sam3TrackerVideo",
}


def tiny_tracker(family: str, seed: int = 0, **changes: Any) -> MemoryTracker:
    """A segmenter over a tiny network, in float32."""
    return TRACKERS[family](tiny_network(family, seed, **changes), TrackerOptions("float32"))


def exact(tracker: MemoryTracker) -> MemoryTracker:
    """A tracker in float64, where batches of one and of many round alike.

    In float32 their last bits differ; memories are rounded to bfloat16 and masks cut at 0, which makes
    differences of 1e-3 of them now and then.
    """
    tracker.network = tracker.network.double()
    tracker._parts = NetworkParts(tracker.network, tracker.FAMILY)
    return tracker


def library_network(tracker: MemoryTracker) -> Any:
    """A copy of a tracker's network as the library made it, without our attention."""
    network = deepcopy(tracker.network)
    for module in network.modules():
        module.__dict__.pop("forward", None)
    return network


class TheirLoop:
    """`transformers`' session over a tracker's network, fed frame by frame.

    Args:
        tracker: Whose network is run.
        size: (H, W) of the frames.
    """

    def __init__(self, tracker: MemoryTracker, size: tuple[int, int]) -> None:
        (family,) = (name for name, cls in TRACKERS.items() if isinstance(tracker, cls))
        module, _, prefix = _SESSIONS[family].rpartition(".")
        session = getattr(
            importlib.import_module(f"transformers.models.{module}"), f"{prefix}InferenceSession"
        )
        self.dtype = tracker._parts.dtype
        self.session = session(video_height=size[0], video_width=size[1], dtype=self.dtype)
        self.network: Any = library_network(tracker)
        self.tracker, self.size = tracker, size
        self.side: int = self.network.prompt_encoder.input_image_size

    def step(
        self,
        frame: np.ndarray,
        masks: Mapping[int, np.ndarray],
        prompts: Mapping[int, ObjectPrompt],
        index: int,
    ) -> torch.Tensor:
        """Logits [N, a, b] of frame `index`; none before an object came."""
        for object_id, mask in masks.items():
            given = torch.from_numpy(mask).float()[None, None]
            given = (resized(given, self.side) >= 0.5).float()
            self.session.add_mask_inputs(self.session.obj_id_to_idx(object_id), index, given)
        for object_id, prompt in prompts.items():
            self.session.add_point_inputs(self.session.obj_id_to_idx(object_id), index, self._points(prompt))
        self.session.obj_with_new_inputs = [*masks, *prompts]
        if not self.session.obj_ids:
            return torch.zeros(0, 1, 1)
        pixels = resized(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255, self.side)
        family = self.tracker.FAMILY
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (family.mean, family.std))
        found = self.network(
            inference_session=self.session, frame=((pixels - mean) / std).to(self.dtype), frame_idx=index
        )
        logits: torch.Tensor = found.pred_masks[:, 0]
        return logits

    def _points(self, prompt: ObjectPrompt) -> dict[str, torch.Tensor]:
        """As their processor makes them of pixels counted from the centre of the first."""
        points = [] if prompt.box is None else [[prompt.box.x0 + 0.5, prompt.box.y0 + 0.5]]
        points += [] if prompt.box is None else [[prompt.box.x1 - 0.5, prompt.box.y1 - 0.5]]
        labels = [] if prompt.box is None else [2, 3]
        points += [[x, y] for x, y, _ in prompt.points]
        labels += [int(inside) for *_, inside in prompt.points]
        scale = torch.tensor([self.side / self.size[1], self.side / self.size[0]])
        coordinates = torch.tensor(points) * scale - 0.5
        return {
            "point_coords": coordinates[None, None].to(self.dtype),
            "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
        }


def resized(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Bilinear, with antialiasing, as `transformers` resizes frames and masks."""
    return torch.nn.functional.interpolate(maps, (side, side), mode="bilinear", antialias=True)
