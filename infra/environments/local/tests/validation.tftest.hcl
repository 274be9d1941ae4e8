variables {
  candidates        = [{ instance_type = "this-machine", region = "here", spot = false, max_price_usd_per_h = 0 }]
  disk_size_gib     = 4
  expires_at        = "2026-11-22T01:55:00Z"
  labels            = {}
  local_user        = "somebody"
  run_id            = "20261121-015500-tiny"
  ssh_ingress_cidrs = []
  ssh_public_key    = null
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
    candidates = [{ instance_type = "x", region = "here", spot = false, max_price_usd_per_h = -1 }]
  }
  expect_failures = [var.candidates]
}

run "refuses_a_trust_that_is_none" {
  command = plan
  variables {
    candidates = [{ instance_type = "x", region = "here", spot = false, max_price_usd_per_h = 1, trust = "any" }]
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

run "refuses_port_zero" {
  command = plan
  variables {
    local_port = 0
  }
  expect_failures = [var.local_port]
}

run "refuses_an_empty_user" {
  command = plan
  variables {
    local_user = ""
  }
  expect_failures = [var.local_user]
}
