mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::douse-team-red", id = "douse-team-red" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/douse-team-red-douse-runs" }
  }
}

variables {
  bucket_name = "douse-team-red"
  region      = "eu-central-1"
}

run "makes_a_bucket_that_is_closed" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets
    ])
    error_message = "Nothing in it can be made public."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement :
      statement.Effect == "Deny" && statement.Principal == "*" && length(statement.Resource) == 2
    ])
    error_message = "The policy only refuses, everybody and for bucket and files."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : jsonencode(statement.Condition)
      ] == [
      jsonencode({ Bool = { "aws:SecureTransport" = "false" } }), jsonencode({ NumericLessThan = { "s3:TlsVersion" = "1.2" } })
    ]
    error_message = "It refuses what comes in the clear or by old TLS."
  }

  assert {
    condition = (
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
      && one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    )
    error_message = "Files are encrypted and versioned."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "There are no access lists."
  }

  assert {
    condition     = aws_s3_bucket.this.force_destroy == false
    error_message = "Destroy leaves a bucket that holds something."
  }
}

run "cleans_up_after_uploads_and_deletions" {
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[2].status == "Disabled"
    error_message = "Runs are kept unless a retention is given."
  }

  assert {
    condition = (
      one(aws_s3_bucket_lifecycle_configuration.this.rule[0].abort_incomplete_multipart_upload).days_after_initiation == 1
      && one(aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration).noncurrent_days == 7
    )
    error_message = "Parts of uploads that were cut off go after a day, old versions after a week."
  }
}

run "keeps_runs_as_long_as_it_is_told" {
  variables {
    noncurrent_days     = 3
    runs_retention_days = 90
  }

  assert {
    condition = (
      aws_s3_bucket_lifecycle_configuration.this.rule[2].status == "Enabled"
      && one(aws_s3_bucket_lifecycle_configuration.this.rule[2].expiration).days == 90
      && one(aws_s3_bucket_lifecycle_configuration.this.rule[2].filter).prefix == "runs/"
      && one(aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration).noncurrent_days == 3
    )
    error_message = "Only what lies under runs/ is deleted by age; states are kept."
  }
}

run "makes_no_role_unless_asked" {
  assert {
    condition = (
      length(aws_iam_role.runs) == 0 && output.role_arn == null
      && length(aws_iam_role.machines) == 0 && output.instance_profile == null
    )
    error_message = "Nobody gets rights by chance."
  }

  assert {
    condition     = output.store_url == "s3://douse-team-red/runs" && output.bucket == "douse-team-red" && output.region == "eu-central-1"
    error_message = "The outputs are what a run file takes."
  }
}

run "makes_a_role_that_reaches_runs_alone" {
  variables {
    runner_arns   = ["arn:aws:iam::123456789012:user/me"]
    session_hours = 2
  }

  assert {
    condition     = jsondecode(aws_iam_role.runs[0].assume_role_policy).Statement[0].Principal.AWS == ["arn:aws:iam::123456789012:user/me"]
    error_message = "Those who are named may take the role, nobody else."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.runs[0].policy).Statement :
      statement.Resource == "arn:aws:s3:::douse-team-red/runs/*"
      || jsonencode(lookup(statement, "Condition", null)) == jsonencode({ StringLike = { "s3:prefix" = ["runs/*"] } })
    ])
    error_message = "The role neither reads nor lists anything but runs/."
  }

  assert {
    condition     = aws_iam_role.runs[0].max_session_duration == 7200 && output.role_arn == aws_iam_role.runs[0].arn
    error_message = "Its credentials end, and the output names it."
  }
}

run "makes_a_profile_for_machines_that_reaches_runs_alone" {
  variables {
    machine_profile = true
  }

  assert {
    condition     = jsondecode(aws_iam_role.machines[0].assume_role_policy).Statement[0].Principal.Service == "ec2.amazonaws.com"
    error_message = "Machines may take the role, nobody else."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.machines[0].policy).Statement :
      statement.Resource == "arn:aws:s3:::douse-team-red/runs/*"
      || jsonencode(lookup(statement, "Condition", null)) == jsonencode({ StringLike = { "s3:prefix" = ["runs/*"] } })
    ])
    error_message = "The role neither reads nor lists anything but runs/."
  }

  assert {
    condition = (
      output.instance_profile == "douse-team-red-douse-machines"
      && aws_iam_instance_profile.machines[0].role == "douse-team-red-douse-machines"
    )
    error_message = "The output is what a run file takes, and leads to that role."
  }

  assert {
    condition     = length(aws_iam_role.runs) == 0
    error_message = "The role of the runner is another matter."
  }
}
