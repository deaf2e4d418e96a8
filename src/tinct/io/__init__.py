"""Everything that touches a file: videos, masks, flow, atomic writes."""
