"""The name by which Terraform starts our provider: ``python -m runner.provider`` is ``python -m runner.clouds``.

The lock file of every run holds a checksum of the shim that names this module. Were the shim to name another, Terraform
would refuse to take down a run that was planned before.
"""

from __future__ import annotations

from runner.clouds.__main__ import main

if __name__ == "__main__":
    main()
