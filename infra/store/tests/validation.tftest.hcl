mock_provider "aws" {}

variables {
  bucket_name = "douse-team-red"
  region      = "eu-central-1"
}

run "refuses_a_bucket_name_with_dots" {
  command = plan
  variables {
    bucket_name = "my.bucket"
  }
  expect_failures = [var.bucket_name]
}

run "refuses_labels_that_are_ours" {
  command = plan
  variables {
    labels = { "douse-run" = "x" }
  }
  expect_failures = [var.labels]
}

run "refuses_to_retry_for_ever" {
  command = plan
  variables {
    max_retries = 26
  }
  expect_failures = [var.max_retries]
}

run "refuses_to_forget_at_once" {
  command = plan
  variables {
    noncurrent_days = 0
  }
  expect_failures = [var.noncurrent_days]
}

run "refuses_a_zone_for_a_region" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}

run "refuses_to_let_everybody_in" {
  command = plan
  variables {
    runner_arns = ["*"]
  }
  expect_failures = [var.runner_arns]
}

run "refuses_to_let_a_whole_account_in" {
  command = plan
  variables {
    runner_arns = ["arn:aws:iam::123456789012:root"]
  }
  expect_failures = [var.runner_arns]
}

run "refuses_to_delete_runs_at_once" {
  command = plan
  variables {
    runs_retention_days = 0
  }
  expect_failures = [var.runs_retention_days]
}

run "refuses_sessions_of_days" {
  command = plan
  variables {
    session_hours = 24
  }
  expect_failures = [var.session_hours]
}
