"""Everything that touches a file: videos, masks, flow, films, atomic writes."""
