# The role that the runner takes for each run, narrowed to runs/<run_id>/ by a session policy of its own.

locals {
  runs_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "FilesOfRuns"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"
        ]
        Resource = "${aws_s3_bucket.this.arn}/runs/*"
      },
      {
        Sid       = "ListingOfRuns"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.this.arn
        Condition = { StringLike = { "s3:prefix" = ["runs/*"] } }
      },
    ]
  })
}

resource "aws_iam_role" "runs" {
  count = length(var.runner_arns) > 0 ? 1 : 0

  name                 = substr("${var.bucket_name}-douse-runs", 0, 64)
  description          = "Douse: files below runs/ in ${var.bucket_name}, nothing else"
  max_session_duration = var.session_hours * 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = var.runner_arns }
    }]
  })
}

resource "aws_iam_role_policy" "runs" {
  count = length(var.runner_arns) > 0 ? 1 : 0

  name = "runs"
  role = aws_iam_role.runs[0].id

  policy = local.runs_policy
}

# The rights that a machine on EC2 has of its own: they serve when nobody renews those of its run. A profile knows no run, so
# that it reaches the folders of all of them.

resource "aws_iam_role" "machines" {
  count = var.machine_profile ? 1 : 0

  name        = substr("${var.bucket_name}-douse-machines", 0, 64)
  description = "Douse: files below runs/ in ${var.bucket_name}, nothing else, for machines whose runner is gone"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "machines" {
  count = var.machine_profile ? 1 : 0

  name   = "runs"
  role   = aws_iam_role.machines[0].id
  policy = local.runs_policy
}

resource "aws_iam_instance_profile" "machines" {
  count = var.machine_profile ? 1 : 0

  name = aws_iam_role.machines[0].name
  role = aws_iam_role.machines[0].name
}
