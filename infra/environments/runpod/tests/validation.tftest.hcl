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

run "refuses_no_candidates" {
  command = plan
  variables {
    candidates = []
  }
  expect_failures = [var.candidates]
}

run "refuses_a_negative_price" {
  command = plan
  variables {
    candidates = [{ instance_type = "NVIDIA L4", region = "EU-RO-1", spot = false, max_price_usd_per_h = -1 }]
  }
  expect_failures = [var.candidates]
}

run "refuses_a_trust_that_is_none" {
  command = plan
  variables {
    candidates = [{ instance_type = "NVIDIA L4", region = "EU-RO-1", spot = false, max_price_usd_per_h = 1, trust = "any" }]
  }
  expect_failures = [var.candidates]
}

run "refuses_half_a_gibibyte" {
  command = plan
  variables {
    disk_size_gib = 0.5
  }
  expect_failures = [var.disk_size_gib]
}

run "refuses_an_expiry_without_a_time" {
  command = plan
  variables {
    expires_at = "2026-11-22"
  }
  expect_failures = [var.expires_at]
}

run "refuses_labels_that_are_ours" {
  command = plan
  variables {
    labels = { "douse-run" = "another" }
  }
  expect_failures = [var.labels]
}

run "refuses_a_run_id_without_a_time" {
  command = plan
  variables {
    run_id = "tiny"
  }
  expect_failures = [var.run_id]
}

run "refuses_a_network_that_is_none" {
  command = plan
  variables {
    ssh_ingress_cidrs = ["home"]
  }
  expect_failures = [var.ssh_ingress_cidrs]
}

run "refuses_ssh_from_everywhere" {
  command = plan
  variables {
    ssh_ingress_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.ssh_ingress_cidrs]
}

run "refuses_ssh_from_everywhere_by_ipv6" {
  command = plan
  variables {
    ssh_ingress_cidrs = ["203.0.113.7/32", "::/0"]
  }
  expect_failures = [var.ssh_ingress_cidrs]
}

run "refuses_ssh_from_half_of_everywhere" {
  command = plan
  variables {
    ssh_ingress_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [var.ssh_ingress_cidrs]
}

run "refuses_a_public_key_that_is_none" {
  command = plan
  variables {
    ssh_public_key = "hello"
  }
  expect_failures = [var.ssh_public_key]
}

run "refuses_to_wait_for_hours" {
  command = plan
  variables {
    create_timeout_s = 7201
  }
  expect_failures = [var.create_timeout_s]
}

run "refuses_to_wait_for_hours_for_the_end" {
  command = plan
  variables {
    delete_timeout_s = 7201
  }
  expect_failures = [var.delete_timeout_s]
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
