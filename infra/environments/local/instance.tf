# Nothing is rented. The resource keeps the given machine in the state, so that destroy has something to prove.
resource "terraform_data" "host" {
  input = {
    run_id        = var.run_id
    expires_at    = var.expires_at
    labels        = merge(var.labels, { "douse-run" = var.run_id, "douse-expires" = local.expires_mark })
    address       = coalesce(var.local_address, "localhost")
    port          = var.local_port
    user          = var.local_user
    host_key      = var.local_host_key
    instance_type = var.local_address == null ? "this-machine" : "given-machine"
  }
}
