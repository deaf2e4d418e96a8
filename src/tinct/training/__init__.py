"""Training: stages of clips, one loop for all methods, checkpoints with exact resume."""
