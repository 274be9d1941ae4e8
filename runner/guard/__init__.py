"""The guard: a small process beside a run that terminates its machine when nobody else is left to do it."""
