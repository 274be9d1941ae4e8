"""The process that starts, watches and stops the trainer on its machine; it needs no torch."""
