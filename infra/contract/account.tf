variable "labels" {
  description = "Tags for everything that is created."
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
