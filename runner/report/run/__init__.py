"""The page, the document and the lines of a run."""
