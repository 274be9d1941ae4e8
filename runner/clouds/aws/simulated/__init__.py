"""What stands in for boto3 and for hashicorp/aws in simulated lives; both ask an account on paper by a world's wire."""
