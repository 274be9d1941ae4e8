"""Readers: from a file's bytes to rows."""
