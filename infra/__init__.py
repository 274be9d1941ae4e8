"""The Terraform modules, and what checks them."""
