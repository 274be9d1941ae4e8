locals {
  # A subnet without public addresses is reached from within: a VPN, or a runner in the same network.
  address = aws_instance.this.public_ip == "" ? aws_instance.this.private_ip : aws_instance.this.public_ip
}

output "host" {
  description = "The machine to train on (infra/contract/host.schema.json)."
  value = {
    address         = local.address
    port            = 22
    user            = var.aws_user
    instance_id     = aws_instance.this.id
    instance_type   = aws_instance.this.instance_type
    region          = local.wanted.region
    spot            = local.wanted.spot
    price_usd_per_h = var.aws_price_usd_per_h == null ? local.wanted.max_price_usd_per_h : var.aws_price_usd_per_h
    host_key        = var.aws_host_key
    cloud           = "aws"
  }
}

output "instructions" {
  description = "How a person gets onto the machine."
  value       = "ssh ${var.aws_user}@${local.address}"
}
