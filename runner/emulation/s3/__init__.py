"""Stores that speak S3 over TLS, in three manners, with keys that count; moto keeps their objects."""
