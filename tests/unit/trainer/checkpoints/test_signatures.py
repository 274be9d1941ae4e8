"""Signatures of requests to S3, by the examples in Amazon's own documents."""

from __future__ import annotations

import hashlib

from trainer.checkpoints.signatures import Credentials, sign

AMAZONS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
AT_S = 1369353600.0
"""2013-05-24 00:00 UTC."""
HOST = "examplebucket.s3.amazonaws.com"


def signature_of(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


def test_a_download_is_signed_as_in_amazons_example() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "GET Object"."""
    headers = {"host": HOST, "range": "bytes=0-9"}

    signed = sign("GET", "/test.txt", headers, hashlib.sha256(b"").hexdigest(), AMAZONS, "us-east-1", AT_S)

    assert signature_of(signed) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," in signed["authorization"]


def test_an_upload_is_signed_as_in_amazons_example() -> None:
    """The same page, "PUT Object"."""
    headers = {
        "host": HOST,
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    content = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()

    signed = sign("PUT", "/test%24file.text", headers, content, AMAZONS, "us-east-1", AT_S)

    assert signature_of(signed) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"


def test_the_token_of_keys_that_end_is_sent_and_signed() -> None:
    digest = hashlib.sha256(b"").hexdigest()
    without = sign("GET", "/a", {"host": HOST}, digest, AMAZONS, "us-east-1", AT_S)
    first, second = (
        sign("GET", "/a", {"host": HOST}, digest, AMAZONS._replace(token=token), "us-east-1", AT_S)
        for token in ("one", "two")
    )

    assert "x-amz-security-token" not in without
    assert first["x-amz-security-token"] == "one"
    assert ";x-amz-security-token," in first["authorization"]
    assert len({signature_of(one) for one in (without, first, second)}) == 3
