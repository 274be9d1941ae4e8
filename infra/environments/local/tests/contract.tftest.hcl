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

run "hands_back_this_machine" {
  assert {
    condition     = output.host.instance_type == "this-machine" && output.host.address == "localhost"
    error_message = "Without an address the host is this machine."
  }

  assert {
    condition     = output.host.price_usd_per_h == 0 && output.host.spot == false
    error_message = "A machine that is there already costs nothing and is not reclaimed."
  }
}

run "hands_back_a_given_machine" {
  variables {
    local_address = "203.0.113.7"
    local_port    = 2222
  }

  assert {
    condition     = output.host.address == "203.0.113.7" && output.host.port == 2222 && output.host.user == "somebody"
    error_message = "The host is the machine that was given."
  }

  assert {
    condition     = output.instructions == "ssh -p 2222 somebody@203.0.113.7"
    error_message = "The instructions are a command that works."
  }

  assert {
    condition     = terraform_data.host.output.labels["douse-run"] == "20261121-015500-tiny"
    error_message = "Everything created carries the run id."
  }
}
