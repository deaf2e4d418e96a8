"""The networks of DyeNet."""
