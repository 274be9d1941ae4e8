"""Resources of the clouds are tried by Terraform, in the provider's own fixtures."""

from __future__ import annotations

from tests.unit.runner.provider.conftest import clouds, inside, module, terraform

__all__ = ["clouds", "inside", "module", "terraform"]
