"""The outside world, one module for each tool: processes, Terraform, Ansible, SSH."""
