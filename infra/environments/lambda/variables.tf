variable "lambda_first_lease_s" {
  description = "Seconds from the launch after which a sweep may terminate the machine, unless its name says later by then; null sets no such end."
  type        = number
  default     = null

  validation {
    condition     = var.lambda_first_lease_s == null || try(var.lambda_first_lease_s > 0, false)
    error_message = "lambda_first_lease_s must be above 0, or null; got ${coalesce(var.lambda_first_lease_s, 0)}."
  }
}

variable "lambda_host_key" {
  description = "The machine's public host key, if lambda_user_data brings one; null pins the first one seen."
  type        = string
  default     = null

  validation {
    condition     = var.lambda_host_key == null || can(regex("^(ssh|ecdsa|sk)-\\S+ \\S+$", var.lambda_host_key))
    error_message = "lambda_host_key must be a type and a key as OpenSSH writes them, without a comment, or null."
  }
}

variable "lambda_user" {
  description = "User to log in as; the image's own."
  type        = string
  default     = "ubuntu"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]*$", var.lambda_user))
    error_message = "lambda_user must be the name of a Linux user; got ${var.lambda_user}."
  }
}

variable "lambda_user_data" {
  description = "Cloud-config the machine boots with; null boots the image as it is. Never kept in a plan or a state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.lambda_user_data == null || try(startswith(var.lambda_user_data, "#cloud-config\n"), false)
    error_message = "lambda_user_data must begin with the line #cloud-config, or be null."
  }

  validation {
    condition     = try(length(var.lambda_user_data) <= 1000000, var.lambda_user_data == null)
    error_message = "lambda_user_data must have 1000000 characters at most; Lambda takes no more."
  }
}
