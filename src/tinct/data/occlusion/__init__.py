"""The occlusion benchmark: clips in which objects cross, hide, leave and return."""
