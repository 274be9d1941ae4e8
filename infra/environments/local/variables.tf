variable "local_address" {
  description = "Name or address of the given machine; null is this machine, which is used without SSH."
  type        = string
  default     = null
}

variable "local_host_key" {
  description = "The given machine's public host key; null pins what it shows first."
  type        = string
  default     = null
}

variable "local_port" {
  description = "Port of the given machine's sshd."
  type        = number
  default     = 22
  nullable    = false

  validation {
    condition     = var.local_port >= 1 && var.local_port <= 65535
    error_message = "local_port must be from 1 to 65535; got ${var.local_port}."
  }
}

variable "local_user" {
  description = "User to work as on the machine."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.local_user) > 0
    error_message = "local_user must not be empty."
  }
}
