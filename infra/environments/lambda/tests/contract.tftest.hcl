mock_provider "douse" {}

# What only the cloud knows, as it might answer.
override_resource {
  target = douse_lambda_instance.this
  values = {
    address         = "203.0.113.7"
    id              = "0920582c7ff041399e34823a0be62549"
    instance_type   = "gpu_1x_a10"
    price_usd_per_h = 0.75
    region          = "us-west-1"
    spot            = false
    ssh             = { host = "203.0.113.7", port = 22, user = "ubuntu" }
    status          = "active"
  }
}

variables {
  candidates        = [{ instance_type = "gpu_1x_a10", region = "us-west-1", spot = false, max_price_usd_per_h = 1 }]
  disk_size_gib     = 100
  expires_at        = "2026-11-22T01:55:00Z"
  labels            = {}
  lambda_host_key   = "ssh-ed25519 AAAA"
  lambda_user_data  = "#cloud-config\n"
  run_id            = "20261121-015500-tiny"
  ssh_ingress_cidrs = []
  ssh_public_key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

run "hands_back_a_machine" {
  assert {
    condition     = output.host.address == "203.0.113.7" && output.host.port == 22 && output.host.user == "ubuntu"
    error_message = "The host is where sshd answers."
  }

  assert {
    condition     = output.host.instance_type == "gpu_1x_a10" && output.host.region == "us-west-1" && output.host.cloud == "lambda"
    error_message = "The host is the machine that was rented, whichever candidate that was."
  }

  assert {
    condition     = output.host.price_usd_per_h == 0.75 && output.host.spot == false
    error_message = "The price is Lambda's own."
  }

  assert {
    condition     = output.host.host_key == "ssh-ed25519 AAAA"
    error_message = "The host key is known before the first contact."
  }

  assert {
    condition     = output.instructions == "ssh -p 22 ubuntu@203.0.113.7"
    error_message = "The instructions are a command that works."
  }
}

run "everything_created_is_named_and_marked" {
  state_key = "a_machine_of_its_own" # tags of a machine that is there stay as they are

  variables {
    labels = { "team" = "red" }
  }

  assert {
    condition = alltrue([for name in [
      douse_lambda_instance.this.name, douse_lambda_instance.this.ssh_key_name, douse_lambda_ssh_key.this.name
    ] : name == "douse-20261121-015500-tiny"])
    error_message = "Machine and key carry the run's name."
  }

  assert {
    condition = jsonencode(douse_lambda_instance.this.tags) == jsonencode({
      "douse-expires" = "20261122t015500z", "douse-run" = "20261121-015500-tiny", "team" = "red"
    })
    error_message = "The tags say whose it is and when it has to be over."
  }
}

run "a_later_deadline_replaces_nothing" {
  state_key = "a_machine_of_its_own"

  variables {
    expires_at = "2026-11-23T01:55:00Z"
  }

  assert {
    condition     = douse_lambda_instance.this.tags["douse-expires"] == "20261122t015500z"
    error_message = "Lambda cannot change tags, and a machine that trains stays."
  }
}

run "the_name_of_a_long_run_fits" {
  variables {
    run_id = "20261121-015500-a123456789-123456789-123456789-123456789-123"
  }

  assert {
    condition     = douse_lambda_ssh_key.this.name == "douse-20261121-015500-a123456789-123456789-123456789-123456789-1"
    error_message = "Names are cut at 64 characters, as the runner cuts them."
  }
}

run "the_whole_list_of_candidates_goes_to_the_provider" {
  variables {
    candidates = [
      { instance_type = "gpu_1x_a10", region = "us-west-1", spot = false, max_price_usd_per_h = 1 },
      { instance_type = "gpu_1x_h100_pcie", region = "us-east-1", spot = false, max_price_usd_per_h = 3 },
    ]
  }

  assert {
    condition     = douse_lambda_instance.this.candidates[*].instance_type == tolist(["gpu_1x_a10", "gpu_1x_h100_pcie"])
    error_message = "The order is the caller's."
  }
}

run "user_data_is_kept_nowhere" {
  assert {
    condition     = douse_lambda_instance.this.user_data_wo == null
    error_message = "The host's private key is in no state."
  }
}

run "waits_as_long_as_it_is_told" {
  variables {
    create_timeout_s = 900
    lambda_user      = "somebody"
  }

  assert {
    condition     = douse_lambda_instance.this.create_timeout_s == 900 && douse_lambda_instance.this.ssh_user == "somebody"
    error_message = "Deadline and user reach the provider."
  }
}
