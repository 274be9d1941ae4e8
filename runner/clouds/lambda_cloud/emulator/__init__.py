"""An emulated Lambda Cloud, with its meter; it imports nothing of the client.

It follows Lambda's OpenAPI file 1.10.0 as of 2026-08-22 (still the newest on 2026-11-28) and, where that is silent,
field reports read in November 2026: lost answers, listings that lag, a second terminate.
"""
