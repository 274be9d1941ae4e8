"""Out of memory: how it is recognised, and what a run does with less memory before it gives up. Imports no torch."""
