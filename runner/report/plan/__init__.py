"""The page and the lines of a run that is planned."""
