output "host" {
  description = "The machine to train on (infra/contract/host.schema.json)."
  value = {
    address         = douse_lambda_instance.this.ssh.host
    port            = douse_lambda_instance.this.ssh.port
    user            = douse_lambda_instance.this.ssh.user
    instance_id     = douse_lambda_instance.this.id
    instance_type   = douse_lambda_instance.this.instance_type
    region          = douse_lambda_instance.this.region
    spot            = douse_lambda_instance.this.spot
    price_usd_per_h = douse_lambda_instance.this.price_usd_per_h
    host_key        = var.lambda_host_key
    cloud           = "lambda"
  }
}

output "instructions" {
  description = "How a person gets onto the machine."
  value = format(
    "ssh -p %d %s@%s", douse_lambda_instance.this.ssh.port, douse_lambda_instance.this.ssh.user,
    douse_lambda_instance.this.ssh.host
  )
}
