variable "bucket_name" {
  description = "Name of the bucket; unique in all of AWS."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must have 3 to 63 characters of a-z, 0-9 and -; got ${var.bucket_name}."
  }
}

variable "force_destroy" {
  description = "Whether destroy takes a bucket that is not empty, and all checkpoints with it."
  type        = bool
  default     = false
  nullable    = false
}

variable "machine_profile" {
  description = "Whether there is an instance profile that reaches runs/ alone, for machines that nobody brings new credentials."
  type        = bool
  default     = false
  nullable    = false
}

variable "noncurrent_days" {
  description = "Days that an overwritten or deleted file can be brought back."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days == floor(var.noncurrent_days)
    error_message = "noncurrent_days must be a whole number of days from 1; got ${var.noncurrent_days}."
  }
}

variable "region" {
  description = "Region of the bucket; nearest to the machines is cheapest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-\\d+$", var.region))
    error_message = "region must look like eu-central-1; got ${var.region}."
  }
}

variable "runner_arns" {
  description = "Who may take the role that reaches runs/ alone: ARNs of users and roles; none makes no role."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.runner_arns : can(regex("^arn:[a-z-]+:iam::\\d{12}:(user|role)/[^*]+$", arn))])
    error_message = "runner_arns must be ARNs of single users or roles; got ${join(", ", var.runner_arns)}."
  }
}

variable "runs_retention_days" {
  description = "Days until what a run left under runs/ is deleted; null keeps it."
  type        = number
  default     = null

  validation {
    condition     = var.runs_retention_days == null ? true : var.runs_retention_days >= 1 && var.runs_retention_days == floor(var.runs_retention_days)
    error_message = "runs_retention_days must be a whole number of days from 1, or null."
  }
}

variable "session_hours" {
  description = "Longest time that credentials from the role are good for, in hours."
  type        = number
  default     = 12
  nullable    = false

  validation {
    condition     = var.session_hours >= 1 && var.session_hours <= 12 && var.session_hours == floor(var.session_hours)
    error_message = "session_hours must be a whole number from 1 to 12; got ${var.session_hours}."
  }
}
