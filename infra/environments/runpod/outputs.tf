output "host" {
  description = "The machine to train on (infra/contract/host.schema.json)."
  value = {
    address         = douse_runpod_pod.this.ssh.host
    port            = douse_runpod_pod.this.ssh.port
    user            = douse_runpod_pod.this.ssh.user
    instance_id     = douse_runpod_pod.this.id
    instance_type   = douse_runpod_pod.this.instance_type
    region          = douse_runpod_pod.this.region
    spot            = douse_runpod_pod.this.spot
    price_usd_per_h = douse_runpod_pod.this.price_usd_per_h
    host_key        = null # RunPod reports none; the first one seen is pinned
    cloud           = "runpod"
  }
}

output "instructions" {
  description = "How a person gets onto the machine."
  value = format(
    "ssh -p %d %s@%s", douse_runpod_pod.this.ssh.port, douse_runpod_pod.this.ssh.user, douse_runpod_pod.this.ssh.host
  )
}
