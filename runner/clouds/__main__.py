"""The process of our Terraform provider: ``python -m runner.clouds``, started by Terraform."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from runner.clouds.provider import DouseProvider
from runner.provider.plugin import serve
from runner.world import RealWorld


def main() -> NoReturn:
    """Serve until Terraform is done."""
    status = serve(DouseProvider(RealWorld()))
    sys.stdout.flush()
    os._exit(status)  # all is said: waiting for the threads of grpc would cost a fifth of a second


if __name__ == "__main__":
    main()
