terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

# Credentials and AWS_ENDPOINT_URL come from the environment, as for AWS's own tools.
provider "aws" {
  region      = var.region
  max_retries = var.max_retries

  default_tags {
    tags = var.labels
  }
}
