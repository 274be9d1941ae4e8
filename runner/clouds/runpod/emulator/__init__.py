"""An emulated RunPod (REST and GraphQL), with its meter; it imports nothing of the client.

It follows RunPod's OpenAPI file 2.0.0 of 2026-08-18 ("Frontdoor v2.9.0"), the pages of lists as six public clients read
them in November 2026, and for GraphQL, which has no such file, public clients as read on 2026-11-21.
"""
