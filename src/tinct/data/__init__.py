"""Datasets, the clips drawn from them, and what is done to those clips in training."""
