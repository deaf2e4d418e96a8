"""A network of somebody else's as a method of tinct."""
