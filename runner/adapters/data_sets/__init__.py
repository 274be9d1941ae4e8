"""What needs `datasets` and pyarrow: programs for an environment of its own, and how they are started from here."""
