"""Everything that has weights: backbones, decoders, ASPP, pyramids, and how weights are saved and loaded."""
