"""A run as it lies on disk: one owner for every file of ``runs/<run id>/``."""
