terraform {
  required_version = ">= 1.11.0"

  required_providers {
    douse = {
      source  = "terraform.local/douse/douse"
      version = "~> 0.1.0"
    }
  }
}

# The key of the account and its endpoint come from the environment, so that no plan or state holds them.
provider "douse" {}
