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
