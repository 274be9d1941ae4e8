"""Whether the adapter works: evaluation, scores, acceptance."""
