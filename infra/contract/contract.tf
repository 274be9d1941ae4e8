# What every environment is given (infra/README.md). Each links to this file: change it here, for all of them.

variable "candidates" {
  description = "Machines to try in this order; the price is a ceiling in US dollars an hour, trust says whose machine it is, expires_at when the run has to be over there."
  type = list(object({
    instance_type       = string
    region              = string
    spot                = bool
    max_price_usd_per_h = number
    trust               = optional(string, "secure")
    expires_at          = optional(string)
  }))
  nullable = false

  validation {
    condition     = length(var.candidates) > 0
    error_message = "candidates must name at least one machine; it is empty."
  }

  validation {
    condition     = alltrue([for candidate in var.candidates : candidate.max_price_usd_per_h >= 0])
    error_message = "candidates[*].max_price_usd_per_h must be 0 or more; got ${join(", ", var.candidates[*].max_price_usd_per_h)}."
  }

  validation {
    condition     = alltrue([for candidate in var.candidates : contains(["secure", "community"], candidate.trust)])
    error_message = "candidates[*].trust must be secure or community; got ${join(", ", var.candidates[*].trust)}."
  }

  validation {
    condition = alltrue([
      for candidate in var.candidates :
      candidate.expires_at == null || can(regex("^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z$", candidate.expires_at))
    ])
    error_message = "candidates[*].expires_at must look like 2026-11-21T18:00:00Z, or be left out; got ${jsonencode(var.candidates[*].expires_at)}."
  }
}

variable "disk_size_gib" {
  description = "Disk the run needs, in GiB."
  type        = number
  nullable    = false

  validation {
    condition     = var.disk_size_gib >= 1 && var.disk_size_gib == floor(var.disk_size_gib)
    error_message = "disk_size_gib must be a whole number of GiB from 1; got ${var.disk_size_gib}."
  }
}

variable "expires_at" {
  description = "When the run has to be over, UTC, as YYYY-MM-DDThh:mm:ssZ, on a candidate that says nothing of its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z$", var.expires_at))
    error_message = "expires_at must look like 2026-11-21T18:00:00Z; got ${var.expires_at}."
  }
}

locals {
  # As every cloud's labels take it: lower case, without colons.
  expires_mark = lower(replace(coalesce(var.candidates[0].expires_at, var.expires_at), "/[-:]/", ""))
}

variable "labels" {
  description = "Labels for everything that is created, besides douse-run and douse-expires."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.labels) : !startswith(name, "douse-")])
    error_message = "labels must not begin with douse-, which is ours; got ${join(", ", keys(var.labels))}."
  }
}

variable "run_id" {
  description = "Id of the run, YYYYMMDD-HHMMSS-name-xxxx; the prefix of every name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^\\d{8}-\\d{6}-[a-z0-9][a-z0-9-]{0,43}$", var.run_id))
    error_message = "run_id must look like 20261121-0155-name with a six-digit time; got ${var.run_id}."
  }
}

variable "ssh_ingress_cidrs" {
  description = "Networks that may reach sshd, in CIDR notation; empty where the environment opens nothing."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.ssh_ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "ssh_ingress_cidrs must be networks like 203.0.113.7/32; got ${join(", ", var.ssh_ingress_cidrs)}."
  }

  validation {
    condition     = alltrue([for cidr in var.ssh_ingress_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, true)])
    error_message = "ssh_ingress_cidrs must not open SSH to everybody, /8 is the widest; got ${join(", ", var.ssh_ingress_cidrs)}."
  }
}

variable "ssh_public_key" {
  description = "Public key that may log in; null where the machine is not ours to put keys on."
  type        = string

  validation {
    condition     = var.ssh_public_key == null || can(regex("^(ssh|ecdsa|sk)-\\S+ \\S+", var.ssh_public_key))
    error_message = "ssh_public_key must be one line of an OpenSSH public key, or null."
  }
}
