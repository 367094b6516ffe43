"""Checkpoints: written, read back, checked, and replaced by an older one where they are damaged."""
