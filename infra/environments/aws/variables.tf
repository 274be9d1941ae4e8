variable "aws_ami_id" {
  description = "Machine image; null takes the one that aws_ami_parameter names."
  type        = string
  default     = null

  validation {
    condition     = var.aws_ami_id == null || can(regex("^ami-[0-9a-f]+$", var.aws_ami_id))
    error_message = "aws_ami_id must look like ami-0123abcd, or be null."
  }
}

variable "aws_ami_parameter" {
  description = "SSM parameter that names the machine image: Ubuntu with NVIDIA's driver, x86_64."
  type        = string
  default     = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
  nullable    = false

  validation {
    condition     = startswith(var.aws_ami_parameter, "/")
    error_message = "aws_ami_parameter must be the whole name of an SSM parameter, from its first slash; got ${var.aws_ami_parameter}."
  }
}

variable "aws_egress_ports" {
  description = "TCP ports that the machine may reach anywhere: package mirrors, the hub and the store."
  type        = list(number)
  default     = [80, 443]
  nullable    = false

  validation {
    condition     = alltrue([for port in var.aws_egress_ports : port >= 1 && port <= 65535])
    error_message = "aws_egress_ports must be from 1 to 65535; got ${join(", ", var.aws_egress_ports)}."
  }
}

variable "aws_host_key" {
  description = "The machine's public host key, if aws_user_data brings one; null pins the first one seen."
  type        = string
  default     = null

  validation {
    condition     = var.aws_host_key == null || can(regex("^(ssh|ecdsa|sk)-\\S+ \\S+$", var.aws_host_key))
    error_message = "aws_host_key must be a type and a key as OpenSSH writes them, without a comment, or null."
  }
}

variable "aws_instance_profile" {
  description = "Instance profile the machine gets; null gives it no rights at all, and the runner hands it short-lived ones."
  type        = string
  default     = null

  validation {
    condition     = var.aws_instance_profile == null || can(regex("^[\\w+=,.@-]+$", var.aws_instance_profile))
    error_message = "aws_instance_profile must be the name of an instance profile, not its ARN, or null."
  }
}

variable "aws_max_retries" {
  description = "How often a failed call is repeated before Terraform gives up."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.aws_max_retries >= 0 && var.aws_max_retries <= 25 && var.aws_max_retries == floor(var.aws_max_retries)
    error_message = "aws_max_retries must be a whole number from 0 to 25; got ${var.aws_max_retries}."
  }
}

variable "aws_price_usd_per_h" {
  description = "What the machine costs in US dollars an hour; null means the ceiling of its candidate."
  type        = number
  default     = null

  validation {
    condition     = var.aws_price_usd_per_h == null ? true : var.aws_price_usd_per_h >= 0
    error_message = "aws_price_usd_per_h must be 0 or more, or null."
  }
}

variable "aws_schedule_role_arn" {
  description = "Role by which EventBridge Scheduler terminates the machine at expires_at; null makes no schedule."
  type        = string
  default     = null

  validation {
    condition     = var.aws_schedule_role_arn == null || can(regex("^arn:[a-z-]+:iam::\\d{12}:role/\\S+$", var.aws_schedule_role_arn))
    error_message = "aws_schedule_role_arn must be the ARN of a role, or null."
  }
}

variable "aws_subnet_id" {
  description = "Subnet to put the machine in; null leaves the zone to AWS, in the VPC's own subnets."
  type        = string
  default     = null

  validation {
    condition     = var.aws_subnet_id == null || can(regex("^subnet-[0-9a-f]+$", var.aws_subnet_id))
    error_message = "aws_subnet_id must look like subnet-0123abcd, or be null."
  }
}

variable "aws_user" {
  description = "User to log in as; the image's own."
  type        = string
  default     = "ubuntu"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]*$", var.aws_user))
    error_message = "aws_user must be the name of a Linux user; got ${var.aws_user}."
  }
}

variable "aws_user_data" {
  description = "Cloud-config the machine boots with; null boots the image as it is. Holds the host key, nothing more secret."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.aws_user_data == null || try(startswith(var.aws_user_data, "#cloud-config\n"), false)
    error_message = "aws_user_data must begin with the line #cloud-config, or be null."
  }

  validation {
    condition     = try(length(var.aws_user_data) <= 16384, var.aws_user_data == null)
    error_message = "aws_user_data must have 16384 characters at most; EC2 takes no more."
  }
}

variable "aws_vpc_id" {
  description = "VPC to put the machine in; null takes that of aws_subnet_id, else the region's default VPC."
  type        = string
  default     = null

  validation {
    condition     = var.aws_vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.aws_vpc_id))
    error_message = "aws_vpc_id must look like vpc-0123abcd, or be null."
  }
}
