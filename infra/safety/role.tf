# The role that EventBridge Scheduler takes to terminate a machine of a run: nothing else in the account.

data "aws_caller_identity" "this" {}

resource "aws_iam_role" "scheduler" {
  name        = var.role_name
  description = "Douse: EventBridge Scheduler terminates machines of runs, nothing else"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "terminate"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "MachinesOfRuns"
      Effect    = "Allow"
      Action    = "ec2:TerminateInstances"
      Resource  = "*"
      Condition = { StringLike = { "ec2:ResourceTag/douse-run" = "*" } }
    }]
  })
}
