"""Training itself: phases, the QLoRA trainer, stopping with a checkpoint."""
