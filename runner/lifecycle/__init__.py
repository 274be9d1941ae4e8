"""The life of a run: which step follows which, what is done again, and that it always ends in destroy."""
