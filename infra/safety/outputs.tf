output "schedule_role_arn" {
  description = "What to write as compute.aws.schedule_role_arn in a run file."
  value       = aws_iam_role.scheduler.arn
}
