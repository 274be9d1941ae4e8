# What every environment refuses and hands back, whatever the cloud. `make test-infra` runs this in each of them, behind
# the head of its own tests/contract.tftest.hcl (mocks and values), because Terraform wants providers mocked per file.

run "refuses_no_candidates" {
  command = plan
  variables {
    candidates = []
  }
  expect_failures = [var.candidates]
}

# Each refusal is by the rule of one variable, and each run starts the providers: what can be refused together is.
run "refuses_a_negative_price_and_values_that_are_none" {
  command = plan
  variables {
    candidates        = [{ instance_type = "x", region = "here", spot = false, max_price_usd_per_h = -1 }]
    disk_size_gib     = 0.5
    expires_at        = "2026-11-22"
    labels            = { "douse-run" = "another" }
    run_id            = "tiny"
    ssh_ingress_cidrs = ["home"]
    ssh_public_key    = "hello"
  }
  expect_failures = [
    var.candidates, var.disk_size_gib, var.expires_at, var.labels, var.run_id, var.ssh_ingress_cidrs, var.ssh_public_key
  ]
}

run "refuses_a_trust_that_is_none_and_ssh_from_everywhere" {
  command = plan
  variables {
    candidates        = [{ instance_type = "x", region = "here", spot = false, max_price_usd_per_h = 1, trust = "any" }]
    ssh_ingress_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.candidates, var.ssh_ingress_cidrs]
}

run "refuses_a_candidate_whose_end_has_no_time_and_ssh_from_everywhere_by_ipv6" {
  command = plan
  variables {
    candidates = [{
      instance_type = "x", region = "here", spot = false, max_price_usd_per_h = 1, expires_at = "2026-11-22"
    }]
    ssh_ingress_cidrs = ["203.0.113.7/32", "::/0"]
  }
  expect_failures = [var.candidates, var.ssh_ingress_cidrs]
}

run "refuses_ssh_from_half_of_everywhere" {
  command = plan
  variables {
    ssh_ingress_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [var.ssh_ingress_cidrs]
}

run "hands_back_the_host_of_the_first_candidate" {
  assert {
    condition = jsonencode(keys(output.host)) == jsonencode([
      "address", "cloud", "host_key", "instance_id", "instance_type", "port", "price_usd_per_h", "region", "spot", "user"
    ])
    error_message = "The host output has the keys of the contract, no more and no fewer."
  }

  assert {
    condition = (
      output.host.instance_type == var.candidates[0].instance_type && output.host.region == var.candidates[0].region
      && output.host.spot == var.candidates[0].spot
    )
    error_message = "The host is the machine that was wanted most."
  }

  assert {
    condition     = output.host.price_usd_per_h <= var.candidates[0].max_price_usd_per_h
    error_message = "The price is within its candidate's ceiling."
  }

  assert {
    condition = (
      output.host.address != "" && output.host.user != "" && output.host.port >= 1 && output.host.port <= 65535
    )
    error_message = "The host says where sshd answers, and for whom."
  }

  assert {
    condition     = startswith(output.instructions, "ssh ") || output.host.address == "localhost"
    error_message = "The instructions are a command that works, where there is somewhere to log in to."
  }
}
