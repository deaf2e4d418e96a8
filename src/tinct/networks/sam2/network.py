"""The parts of `transformers`' video models, called one by one on many objects at once.

`transformers` runs one object after another in a session that changes; here its modules (image encoder,
memory attention, prompt encoder, mask decoder, memory encoder) are called on a batch of objects, and hold
no state.
The three models have the same parts under the same names. They differ in the shape of a memory (EdgeTAM's
perceiver gives a few hundred tokens a frame) and in whether a prompt on one object hardens the others' masks.

Read with transformers 5.24: `models/sam2_video`, `edgetam_video`, `sam3_tracker_video`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tinct.networks.sam2.memory import BankSizes, ObjectMemory
from tinct.shapes import Image

NO_OBJECT_LOGIT = -1024.0
"""Of every pixel of an object that the network says is not in the frame."""

PROMPT_LOGITS = (20.0, -10.0)
"""Scale and offset by which a given mask of 0 and 1 becomes logits (transformers: `_use_mask_as_output`)."""

NOT_A_POINT = -1
"""The label of a point that says nothing."""


@dataclass(frozen=True)
class Family:
    """What differs among the three models.

    Attributes:
        name: As people call it.
        model_class: Of `transformers`.
        model_types: What the `model_type` of a config may be.
        mean: Of pixels in [0, 1], by channel.
        std: Likewise.
        perceived: Memories go through a perceiver (EdgeTAM).
    """

    name: str
    model_class: str
    model_types: tuple[str, ...]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    perceived: bool = False


class FrameFeatures(NamedTuple):
    """A frame as the image encoder sees it.

    Attributes:
        fine: Maps of stride 4 and 8, [1, C/8, 4h, 4w] and [1, C/4, 2h, 2w].
        coarse: Tokens of stride 16 (SAM 3: 14), [hw, 1, C].
        position: Their position encoding, [hw, 1, C].
    """

    fine: tuple[Tensor, Tensor]
    coarse: Tensor
    position: Tensor


class Points(NamedTuple):
    """Clicks and corners of boxes in the network's square frame: [1, 1, P, 2] and their labels [1, 1, P].

    Labels: 1 inside, 0 outside, 2 and 3 a box's upper left and lower right corner.
    """

    coordinates: Tensor
    labels: Tensor


class Decoded(NamedTuple):
    """What the mask decoder says of N objects.

    Attributes:
        logits: [N, 4h, 4w].
        full_logits: [N, S, S], at the network's own size; what a memory is made of.
        pointers: [N, C].
        scores: [N], logits of whether the object is in the frame.
    """

    logits: Tensor
    full_logits: Tensor
    pointers: Tensor
    scores: Tensor


class NetworkParts:
    """A video model of `transformers` as functions of frames, prompts and memories.

    Args:
        network: A model of the family, in evaluation mode; never changed.
        family: Which one it is of.
    """

    def __init__(self, network: nn.Module, family: Family) -> None:
        self.network = model = cast(Any, network)
        self.family = family
        config = model.config
        self.config = config
        self.image_size: int = model.prompt_encoder.input_image_size
        self.grid: tuple[int, int] = tuple(model.backbone_feature_sizes[-1])
        self.sizes = BankSizes(
            config.num_maskmem, config.max_object_pointers_in_encoder, config.max_cond_frame_num
        )
        weight = model.no_memory_embedding
        self.device, self.dtype = weight.device, weight.dtype
        with torch.inference_mode():
            self._image_position = model.get_image_wide_positional_embeddings()
            self._mean, self._std = (
                torch.tensor(values, device=self.device).reshape(3, 1, 1)
                for values in (family.mean, family.std)
            )

    def encode(self, frame: Image) -> FrameFeatures:
        """Run the image encoder, once for all objects."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device).permute(2, 0, 1)[None]
        sized = F.interpolate(
            pixels.float() / 255, size=(self.image_size,) * 2, mode="bilinear", antialias=True
        )
        seen = self.network.get_image_features(
            ((sized - self._mean) / self._std).to(self.dtype), return_dict=True
        )
        *fine, coarse = seen.fpn_hidden_states
        maps = [
            flat.permute(1, 2, 0).unflatten(-1, tuple(size))
            for flat, size in zip(fine, self.network.backbone_feature_sizes, strict=False)
        ]
        return FrameFeatures((maps[0], maps[1]), coarse, seen.fpn_position_encoding[-1])

    def unconditioned(self, features: FrameFeatures) -> Float[Tensor, "1 C h w"]:
        """The frame's map where no memory is read: on prompted frames."""
        return self._as_map(features.coarse + self.network.no_memory_embedding)

    def conditioned(
        self, features: FrameFeatures, memories: list[ObjectMemory], position: Tensor, index: int
    ) -> Float[Tensor, "N C h w"]:
        """The frame's map for each object after it attended to that object's memories.

        Objects whose memories hold equally many tokens go through the attention together.
        """
        read = [(bank.frames_read(index, self.sizes), bank.pointers_read(index)) for bank in memories]
        groups: dict[tuple[int, int], list[int]] = {}
        for place, (frames, pointers) in enumerate(read):
            groups.setdefault((len(frames), len(pointers)), []).append(place)
        maps: dict[int, Tensor] = {}
        for places in groups.values():
            found = self._attend(features, [read[place] for place in places], position)
            maps |= dict(zip(places, found.unbind(), strict=True))
        return torch.stack([maps[place] for place in range(len(memories))])

    def decode(
        self,
        features: FrameFeatures,
        maps: Float[Tensor, "N C h w"],
        points: Points | None = None,
        mask_logits: Float[Tensor, "N 1 a b"] | None = None,
        *,
        multimask: bool | None = None,
    ) -> Decoded:
        """Run the prompt encoder and the mask decoder.

        Args:
            features: Of the frame.
            maps: Of each object.
            points: For all of them the same; None gives a point that says nothing.
            mask_logits: A dense prompt for each.
            multimask: Take the best of several masks; None leaves it to the config and the number of points.
        """
        network, objects = self.network, len(maps)
        low_size = network.prompt_encoder.mask_input_size
        if points is None:
            nowhere = torch.zeros(1, 1, 1, 2, dtype=self.dtype, device=self.device)
            labels = torch.full((1, 1, 1), NOT_A_POINT, dtype=torch.int32, device=self.device)
            multimask = self._multimask(0) if multimask is None else multimask
            points = Points(nowhere, labels)
        elif multimask is None:
            multimask = self._multimask(points.labels.shape[-1])
        if mask_logits is not None:
            mask_logits = _resized(mask_logits, low_size, antialias=True)
        sparse, dense = network.prompt_encoder(points.coordinates, points.labels, None, mask_logits)
        masks, overlaps, tokens, scores = network.mask_decoder(
            image_embeddings=maps,
            image_positional_embeddings=self._image_position.expand(objects, -1, -1, -1),
            sparse_prompt_embeddings=sparse.expand(objects, -1, -1, -1),
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=list(features.fine),
        )
        each = torch.arange(objects, device=self.device)
        best = overlaps[:, 0].argmax(-1) if multimask else torch.zeros_like(each)
        present = scores[:, 0] > 0
        logits = torch.where(present[..., None], masks[:, 0][each, best], NO_OBJECT_LOGIT)
        # Without several masks there is one token, whichever mask was taken for its stability.
        pointers = network.object_pointer_proj(tokens[:, 0][each, best if multimask else 0])
        pointers = torch.where(present, pointers, network.no_object_pointer)
        return Decoded(logits, self._full(logits), pointers, scores[:, 0, 0])

    def given_masks(self, features: FrameFeatures, masks: Bool[Tensor, "N H W"]) -> Decoded:
        """What masks that were given make of a frame: they are taken as they are, and give pointers."""
        network, (scale, offset) = self.network, PROMPT_LOGITS
        given = masks[:, None].float()
        given = (_resized(given, (self.image_size,) * 2, antialias=True) >= 0.5).float()
        full = given * scale + offset
        low = _resized(full, network.prompt_encoder.mask_input_size, antialias=True).to(self.dtype)
        maps = self._as_map(features.coarse).expand(len(masks), -1, -1, -1)
        dense = network.mask_downsample(given.to(self.dtype))
        pointers = self.decode(features, maps, mask_logits=dense, multimask=True).pointers
        present = given.flatten(1).any(1)
        pointers = torch.where(present[:, None], pointers, network.no_object_pointer)
        scores = present.to(self.dtype) * scale + offset
        return Decoded(low[:, 0], full[:, 0].to(self.dtype), pointers, scores)

    def remember(
        self, features: FrameFeatures, decoded: Decoded, prompted: Bool[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N L M"], Float[Tensor, "L M"]]:
        """Run the memory encoder: tokens of the frame with each object's mask, and their positions."""
        network, objects = self.network, len(decoded.logits)
        size = tuple(4 * side for side in network.prompt_encoder.mask_input_size)
        masks = decoded.full_logits[:, None]
        if not self.family.perceived:
            masks = _resized(masks, size, antialias=True)
        # A mask from a prompt is certain; it makes those of the same frame certain, too, but not in EdgeTAM.
        certain = prompted if self.family.perceived else prompted.any().expand(objects)
        masks = torch.where(certain[:, None, None, None], (masks > 0).to(masks.dtype), masks.sigmoid())
        masks = masks * self.config.sigmoid_scale_for_mem_enc + self.config.sigmoid_bias_for_mem_enc
        maps = self._as_map(features.coarse).expand(objects, -1, -1, -1)
        memory, position = network.memory_encoder(maps, masks)
        absent = network.occlusion_spatial_embedding_parameter
        if absent is not None:
            hidden = (decoded.scores <= 0).to(memory.dtype)[:, None, None, None]
            memory = memory + hidden * absent[..., None, None]
        position = position.to(self.dtype)
        if self.family.perceived:
            # The library's perceiver takes one object at a time.
            read = [network.spatial_perceiver(each, position[:1]) for each in memory.split(1)]
            return torch.cat([tokens for tokens, _ in read]), read[0][1][0]
        # SAM 2 rounds memories to bfloat16, in whatever it computes.
        return memory.to(torch.bfloat16).flatten(2).transpose(1, 2), position[0].flatten(1).T

    def _attend(
        self,
        features: FrameFeatures,
        read: list[tuple[list[tuple[int, Tensor]], list[tuple[int, Tensor]]]],
        position: Float[Tensor, "L M"],
    ) -> Float[Tensor, "N C h w"]:
        """Memory attention of objects with equally many memories and pointers."""
        network, objects = self.network, len(read)
        in_time = network.memory_temporal_positional_encoding[:, 0]
        tokens = torch.stack([torch.cat([seen for _, seen in frames]) for frames, _ in read])
        # Place 0, the annotated frames', is the last row.
        places = [torch.cat([position + in_time[at - 1] for at, _ in frames]) for frames, _ in read]
        pointers, when = self._pointer_tokens([found for _, found in read])
        counted = {"num_spatial_memory_tokens": len(read[0][0])} if self.family.perceived else {}
        attended = network.memory_attention(
            current_vision_features=features.coarse.expand(-1, objects, -1),
            current_vision_position_embeddings=features.position.expand(-1, objects, -1),
            memory=torch.cat([tokens.to(self.dtype), pointers], 1).transpose(0, 1),
            memory_posision_embeddings=torch.cat([torch.stack(places), when], 1).transpose(0, 1),
            num_object_pointer_tokens=pointers.shape[1],
            **counted,
        )
        maps: Tensor = attended.reshape(objects, -1, attended.shape[-1]).transpose(1, 2)
        return maps.reshape(*maps.shape[:2], *self.grid)

    def _pointer_tokens(
        self, read: list[list[tuple[int, Tensor]]]
    ) -> tuple[Float[Tensor, "N P M"], Float[Tensor, "N P M"]]:
        """Object pointers as memory tokens, each as many as its length asks for, and their positions."""
        network, width = self.network, self.network.mem_dim
        pointers = torch.stack([torch.stack([pointer for _, pointer in found]) for found in read])
        splits = pointers.shape[-1] // width
        tokens = pointers.reshape(len(pointers), -1, width)
        if not self.config.enable_temporal_pos_encoding_for_object_pointers:
            return tokens, torch.zeros_like(tokens)
        ago = torch.tensor([[frames for frames, _ in found] for found in read], device=self.device)
        encoded = sine_encoding(ago / (self.sizes.pointer_frames - 1), pointers.shape[-1]).to(self.dtype)
        when = network.temporal_positional_encoding_projection_layer(encoded)
        return tokens, when.repeat_interleave(splits, 1)

    def _as_map(self, tokens: Float[Tensor, "hw 1 C"]) -> Float[Tensor, "1 C h w"]:
        maps = tokens.permute(1, 2, 0)
        return maps.reshape(*maps.shape[:2], *self.grid)

    def _full(self, logits: Float[Tensor, "N a b"]) -> Float[Tensor, "N S S"]:
        return _resized(logits[:, None], (self.image_size,) * 2, antialias=False)[:, 0]

    def _multimask(self, points: int) -> bool:
        config = self.config
        few = config.multimask_min_pt_num <= points <= config.multimask_max_pt_num
        tracking = points == 0 and not config.multimask_output_for_tracking
        return bool(config.multimask_output_in_sam and few and not tracking)


def sine_encoding(places: Float[Tensor, "*N"], channels: int) -> Float[Tensor, "*N C"]:
    """Sines, then cosines of places at wavelengths from 2π to 2π·10,000 (Attention Is All You Need, 3.5)."""
    half = channels // 2
    pairs = torch.arange(half, dtype=torch.float32, device=places.device) // 2
    angles = places[..., None] / 10_000 ** (2 * pairs / half)
    return torch.cat([angles.sin(), angles.cos()], -1)


def _resized(maps: Tensor, size: tuple[int, ...], *, antialias: bool) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    sized = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False, antialias=antialias)
    return sized.to(maps.dtype)
