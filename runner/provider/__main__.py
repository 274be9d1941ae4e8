"""The plugin process: ``python -m runner.provider``, started by Terraform."""

from __future__ import annotations

import os
import sys

from runner.clouds.provider import DouseProvider
from runner.provider.plugin import serve

if __name__ == "__main__":
    status = serve(DouseProvider())
    sys.stdout.flush()
    os._exit(status)  # all is said: waiting for the threads of grpc would cost a fifth of a second
