output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "instance_profile" {
  description = "What to write as compute.aws.instance_profile in a run file; null if there is none."
  value       = one(aws_iam_instance_profile.machines[*].name)
}

output "region" {
  description = "Region of the bucket."
  value       = var.region
}

output "role_arn" {
  description = "Role for the runs' own credentials; null if there is none."
  value       = one(aws_iam_role.runs[*].arn)
}

output "store_url" {
  description = "What to write as store.url in a run file."
  value       = "s3://${aws_s3_bucket.this.bucket}/runs"
}
