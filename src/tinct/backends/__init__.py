"""What runs a network: torch on any device, or ONNX Runtime on the processor, which needs no torch.

A method's step stands once (`tinct.methods`); what differs between the two is a backend: encode a frame,
match it, run the head, and the few operations on arrays that surround these.
"""

from __future__ import annotations

BACKENDS = ("auto", "torch", "onnx")
"""`auto` is torch on an accelerator or where bfloat16 is fast, else ONNX Runtime where that can be."""
