# One pod: the first candidate that RunPod has. Our provider goes down the list within one apply.

locals {
  name = substr("douse-${var.run_id}", 0, 64)
}

resource "douse_runpod_pod" "this" {
  name              = local.name
  candidates        = var.candidates
  community_enabled = var.runpod_community_enabled
  image             = var.runpod_image
  disk_size_gib     = var.disk_size_gib
  min_cuda_version  = var.runpod_min_cuda_version
  ports             = ["22/tcp"]
  start_command     = var.runpod_start_command
  ssh_public_key    = var.ssh_public_key
  terminate_at      = var.runpod_terminate_after ? var.expires_at : null

  # RunPod has no tags; variables are what the API gives back.
  env = {
    DOUSE_RUN     = var.run_id
    DOUSE_EXPIRES = local.expires_mark
    DOUSE_LABELS  = jsonencode(var.labels)
  }

  create_timeout_s = var.create_timeout_s
  delete_timeout_s = var.delete_timeout_s

  lifecycle {
    # RunPod cannot change them in a running pod; a later deadline is no reason to replace one that is training.
    ignore_changes = [env, start_command, terminate_at]

    precondition {
      condition     = var.ssh_public_key != null
      error_message = "ssh_public_key must be set on RunPod; without it you cannot log in."
    }
  }
}
