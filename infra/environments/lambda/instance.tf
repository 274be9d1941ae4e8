# One machine: the first candidate that Lambda has. Our provider goes down the list within one apply.

locals {
  name = substr("douse-${var.run_id}", 0, 64)
  tags = merge(var.labels, { "douse-run" = var.run_id, "douse-expires" = local.expires_mark })
}

resource "douse_lambda_ssh_key" "this" {
  name       = local.name
  public_key = var.ssh_public_key

  lifecycle {
    precondition {
      condition     = var.ssh_public_key != null
      error_message = "ssh_public_key must be set on Lambda; without it you cannot log in."
    }
  }
}

resource "douse_lambda_instance" "this" {
  name             = local.name
  candidates       = var.candidates
  ssh_key_name     = douse_lambda_ssh_key.this.name
  user_data_wo     = var.lambda_user_data
  tags             = local.tags
  first_lease_s    = var.lambda_first_lease_s
  ssh_user         = var.lambda_user
  create_timeout_s = var.create_timeout_s
  delete_timeout_s = var.delete_timeout_s

  lifecycle {
    # Lambda cannot change tags; a later deadline is no reason to replace a machine that is training.
    ignore_changes = [tags]

    precondition {
      condition     = alltrue([for candidate in var.candidates : !candidate.spot])
      error_message = "candidates[*].spot must be false on Lambda, which has no spot machines."
    }

    precondition {
      condition = alltrue([
        for key, value in var.labels : can(regex("^[a-z][a-z0-9:-]{1,54}$", key)) && length(value) <= 128
      ])
      error_message = "labels must have keys of 2 to 55 characters of a-z, 0-9, - and :, and values up to 128, on Lambda; got ${jsonencode(var.labels)}."
    }

    precondition {
      condition     = var.lambda_host_key == null || var.lambda_user_data != null
      error_message = "lambda_host_key must come with the lambda_user_data that puts it on the machine."
    }
  }
}
