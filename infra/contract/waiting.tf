# Linked by the environments that wait until sshd answers.

variable "create_timeout_s" {
  description = "Longest time from the launch to a machine whose sshd answers, in seconds."
  type        = number
  default     = 1500
  nullable    = false

  validation {
    condition     = var.create_timeout_s >= 10 && var.create_timeout_s <= 7200
    error_message = "create_timeout_s must be from 10 to 7200; got ${var.create_timeout_s}."
  }
}

variable "delete_timeout_s" {
  description = "Longest time from the order to end the machine until it is gone, in seconds."
  type        = number
  default     = 600
  nullable    = false

  validation {
    condition     = var.delete_timeout_s >= 10 && var.delete_timeout_s <= 7200
    error_message = "delete_timeout_s must be from 10 to 7200; got ${var.delete_timeout_s}."
  }
}
