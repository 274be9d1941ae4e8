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
