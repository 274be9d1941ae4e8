"""Notices of a run on their way to people: by apprise and by a command, in a process of their own (decision 0105)."""
