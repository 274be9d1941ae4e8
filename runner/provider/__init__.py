"""Our own Terraform provider: machines on clouds for which no other provider can be trusted with money."""
