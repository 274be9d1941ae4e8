"""Douse's trainer: fine-tunes one QLoRA adapter on the machine it runs on.

The trainer knows nothing of the runner. It reads one recipe, writes one output folder and speaks through
one event file, so that it runs the same on a laptop, a rented machine or inside a cluster job.
"""

__version__ = "0.1.0"
