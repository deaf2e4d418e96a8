"""Carrying a video along: segmenters and their driver, sessions, states, directions, confidence."""
