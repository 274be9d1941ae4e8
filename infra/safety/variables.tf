variable "labels" {
  description = "Tags for the role."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.labels) : !startswith(name, "douse-")])
    error_message = "labels must not begin with douse-, which marks what belongs to one run; got ${join(", ", keys(var.labels))}."
  }
}

variable "max_retries" {
  description = "How often a failed call is repeated before Terraform gives up."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_retries >= 0 && var.max_retries <= 25 && var.max_retries == floor(var.max_retries)
    error_message = "max_retries must be a whole number from 0 to 25; got ${var.max_retries}."
  }
}

variable "region" {
  description = "Region to talk to; a role is good in all of them."
  type        = string
  default     = "us-east-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-\\d+$", var.region))
    error_message = "region must look like eu-central-1; got ${var.region}."
  }
}

variable "role_name" {
  description = "Name of the role."
  type        = string
  default     = "douse-scheduler"
  nullable    = false

  validation {
    condition     = can(regex("^[\\w+=,.@-]{1,64}$", var.role_name))
    error_message = "role_name must have 1 to 64 letters, digits and +=,.@_-; got ${var.role_name}."
  }
}
