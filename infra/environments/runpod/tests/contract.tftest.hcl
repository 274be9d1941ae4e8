mock_provider "douse" {}

# What only the cloud knows, as it might answer.
override_resource {
  target = douse_runpod_pod.this
  values = {
    address         = "203.0.113.7"
    id              = "7h9k2m4n6p"
    instance_type   = "NVIDIA L4"
    price_usd_per_h = 0.43
    region          = "EU-RO-1"
    spot            = false
    ssh             = { host = "203.0.113.7", port = 34446, user = "root" }
    status          = "RUNNING"
  }
}

variables {
  candidates        = [{ instance_type = "NVIDIA L4", region = "EU-RO-1", spot = false, max_price_usd_per_h = 1 }]
  disk_size_gib     = 100
  expires_at        = "2026-11-22T01:55:00Z"
  labels            = {}
  run_id            = "20261121-015500-tiny"
  ssh_ingress_cidrs = []
  ssh_public_key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

run "hands_back_a_pod" {
  assert {
    condition     = output.host.address == "203.0.113.7" && output.host.port == 34446 && output.host.user == "root"
    error_message = "The host is where sshd answers, at the port RunPod mapped."
  }

  assert {
    condition     = output.host.instance_type == "NVIDIA L4" && output.host.region == "EU-RO-1" && output.host.cloud == "runpod"
    error_message = "The host is the pod that was rented, whichever candidate that was."
  }

  assert {
    condition     = output.host.price_usd_per_h == 0.43 && output.host.spot == false
    error_message = "The price is RunPod's own."
  }

  assert {
    condition     = output.host.host_key == null
    error_message = "RunPod reports no host key."
  }

  assert {
    condition     = output.instructions == "ssh -p 34446 root@203.0.113.7"
    error_message = "The instructions are a command that works."
  }
}

run "the_pod_is_named_and_marked" {
  state_key = "a_pod_of_its_own" # variables of a pod that is there stay as they are

  variables {
    labels = { "team" = "red" }
  }

  assert {
    condition     = douse_runpod_pod.this.name == "douse-20261121-015500-tiny"
    error_message = "The pod carries the run's name."
  }

  assert {
    condition = jsonencode(douse_runpod_pod.this.env) == jsonencode({
      "DOUSE_EXPIRES" = "20261122t015500z", "DOUSE_LABELS" = "{\"team\":\"red\"}", "DOUSE_RUN" = "20261121-015500-tiny"
    })
    error_message = "Its variables say whose it is and when it has to be over."
  }

  assert {
    condition     = douse_runpod_pod.this.terminate_at == "2026-11-22T01:55:00Z"
    error_message = "RunPod itself ends the pod when the run has to be over."
  }
}

run "a_later_deadline_replaces_nothing" {
  state_key = "a_pod_of_its_own"

  variables {
    expires_at = "2026-11-23T01:55:00Z"
  }

  assert {
    condition     = douse_runpod_pod.this.terminate_at == "2026-11-22T01:55:00Z" && douse_runpod_pod.this.env["DOUSE_EXPIRES"] == "20261122t015500z"
    error_message = "RunPod cannot change a running pod's, and a pod that trains stays."
  }
}

run "the_end_by_runpod_can_be_left_out" {
  state_key = "a_pod_without_end"

  variables {
    runpod_terminate_after = false
  }

  assert {
    condition     = douse_runpod_pod.this.terminate_at == null
    error_message = "Only the runner and the lease end the pod."
  }
}

run "the_name_of_a_long_run_fits" {
  variables {
    run_id = "20261121-015500-a123456789-123456789-123456789-123456789-123"
  }

  assert {
    condition     = douse_runpod_pod.this.name == "douse-20261121-015500-a123456789-123456789-123456789-123456789-1"
    error_message = "Names are cut at 64 characters, as the runner cuts them."
  }
}

run "what_is_asked_for_reaches_the_provider" {
  variables {
    candidates = [
      { instance_type = "NVIDIA L4", region = "EU-RO-1", spot = true, max_price_usd_per_h = 0.3 },
      { instance_type = "NVIDIA GeForce RTX 4090", region = "any", spot = false, max_price_usd_per_h = 0.7, trust = "community" },
    ]
    create_timeout_s         = 900
    runpod_community_enabled = true
    runpod_image             = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
  }

  assert {
    condition     = douse_runpod_pod.this.candidates[*].instance_type == tolist(["NVIDIA L4", "NVIDIA GeForce RTX 4090"])
    error_message = "The order is the caller's."
  }

  assert {
    condition     = douse_runpod_pod.this.candidates[*].trust == tolist(["secure", "community"]) && douse_runpod_pod.this.community_enabled
    error_message = "Whose machines they are is the caller's, and secure where it is not said."
  }

  assert {
    condition     = douse_runpod_pod.this.image == "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
    error_message = "The image is the caller's."
  }

  assert {
    condition     = douse_runpod_pod.this.disk_size_gib == 100 && douse_runpod_pod.this.create_timeout_s == 900
    error_message = "Disk and deadline are the caller's."
  }
}

run "an_old_driver_is_not_rented" {
  assert {
    condition     = douse_runpod_pod.this.min_cuda_version == "13.0"
    error_message = "The host's driver has to be new enough for the trainer's torch."
  }
}

run "nobody_but_sshd_is_reachable" {
  assert {
    condition     = douse_runpod_pod.this.ports == tolist(["22/tcp"])
    error_message = "One port is open, that of sshd."
  }
}
