"""Datasets, samplers of training clips, and their augmentation."""
