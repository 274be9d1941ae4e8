"""Simulated lives: a world in which time passes at once and everything can be made to fail."""
