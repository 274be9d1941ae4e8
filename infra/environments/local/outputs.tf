output "host" {
  description = "The machine to train on (infra/contract/host.schema.json)."
  value = {
    address         = terraform_data.host.output.address
    port            = terraform_data.host.output.port
    user            = terraform_data.host.output.user
    instance_id     = terraform_data.host.id
    instance_type   = terraform_data.host.output.instance_type
    region          = "here"
    spot            = false
    price_usd_per_h = 0
    host_key        = terraform_data.host.output.host_key
    cloud           = "local"
  }
}

output "instructions" {
  description = "How a person gets onto the machine."
  value = (
    var.local_address == null
    ? "The run uses this machine; there is nothing to log in to."
    : "ssh -p ${var.local_port} ${var.local_user}@${var.local_address}"
  )
}
