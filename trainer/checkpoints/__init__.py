"""Checkpoints: when one is complete, where they lie, how they travel to a store and back."""
