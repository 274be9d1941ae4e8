"""The store of a run: who may open it, what goes there, what comes back."""
