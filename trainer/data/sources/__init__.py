"""Readers: from the bytes of a file, whatever its format, to rows."""
