"""Dated prices, each with its source: lists of machines, platforms, traffic."""
