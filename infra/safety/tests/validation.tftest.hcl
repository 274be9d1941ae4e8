mock_provider "aws" {}

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

run "refuses_a_zone_for_a_region" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}

run "refuses_a_name_with_a_path" {
  command = plan
  variables {
    role_name = "/team/douse"
  }
  expect_failures = [var.role_name]
}
