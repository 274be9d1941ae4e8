mock_provider "douse" {}

variables {
  candidates        = [{ instance_type = "NVIDIA L4", region = "EU-RO-1", spot = false, max_price_usd_per_h = 1 }]
  disk_size_gib     = 100
  expires_at        = "2026-11-22T01:55:00Z"
  labels            = {}
  run_id            = "20261121-015500-tiny"
  ssh_ingress_cidrs = []
  ssh_public_key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

run "refuses_a_cuda_version_that_is_none" {
  command = plan
  variables {
    runpod_min_cuda_version = "13"
  }
  expect_failures = [var.runpod_min_cuda_version]
}

run "refuses_an_image_without_a_tag" {
  command = plan
  variables {
    runpod_image = "runpod/pytorch"
  }
  expect_failures = [var.runpod_image]
}

run "refuses_the_latest_image" {
  command = plan
  variables {
    runpod_image = "runpod/pytorch:latest"
  }
  expect_failures = [var.runpod_image]
}

run "refuses_to_rent_without_a_key" {
  command = plan
  variables {
    ssh_public_key = null
  }
  expect_failures = [douse_runpod_pod.this]
}
