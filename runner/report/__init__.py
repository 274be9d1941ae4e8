"""What a person reads of a run: the page of a plan, the page of a run, tables and lines for the terminal.

Everything comes from the files of a run folder, at any moment of the run, whatever is missing there.
"""
