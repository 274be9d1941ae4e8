mock_provider "douse" {}

variables {
  candidates        = [{ instance_type = "gpu_1x_a10", region = "us-west-1", spot = false, max_price_usd_per_h = 1 }]
  disk_size_gib     = 100
  expires_at        = "2026-11-22T01:55:00Z"
  labels            = {}
  run_id            = "20261121-015500-tiny"
  ssh_ingress_cidrs = []
  ssh_public_key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

run "refuses_a_host_key_with_a_comment" {
  command = plan
  variables {
    lambda_host_key = "ssh-ed25519 AAAA me@home"
  }
  expect_failures = [var.lambda_host_key]
}

run "refuses_a_lease_that_is_over_at_once" {
  command = plan
  variables {
    lambda_first_lease_s = 0
  }
  expect_failures = [var.lambda_first_lease_s]
}

run "refuses_an_empty_user" {
  command = plan
  variables {
    lambda_user = ""
  }
  expect_failures = [var.lambda_user]
}

run "refuses_user_data_that_is_a_script" {
  command = plan
  variables {
    lambda_user_data = "#!/bin/sh\ntrue\n"
  }
  expect_failures = [var.lambda_user_data]
}

run "refuses_user_data_that_lambda_would_refuse" {
  command = plan
  variables {
    lambda_user_data = "#cloud-config\n${format("%01000000d", 0)}"
  }
  expect_failures = [var.lambda_user_data]
}

run "refuses_to_rent_without_a_key" {
  command = plan
  variables {
    ssh_public_key = null
  }
  expect_failures = [douse_lambda_ssh_key.this]
}

run "refuses_spot_machines" {
  command = plan
  variables {
    candidates = [{ instance_type = "gpu_1x_a10", region = "us-west-1", spot = true, max_price_usd_per_h = 1 }]
  }
  expect_failures = [douse_lambda_instance.this]
}

run "refuses_labels_that_lambda_would_refuse" {
  command = plan
  variables {
    labels = { "Team" = "red" }
  }
  expect_failures = [douse_lambda_instance.this]
}

run "refuses_a_host_key_that_nobody_puts_there" {
  command = plan
  variables {
    lambda_host_key = "ssh-ed25519 AAAA"
  }
  expect_failures = [douse_lambda_instance.this]
}
