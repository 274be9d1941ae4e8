"""The steps of a run's life. Each reads and writes files of the run folder; none knows of another."""
