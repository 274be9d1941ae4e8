# The contract: the same in every environment (infra/README.md).

variable "candidates" {
  description = "Machines to try in this order; the price is a ceiling in US dollars an hour, trust says whose machine it is."
  type = list(object({
    instance_type       = string
    region              = string
    spot                = bool
    max_price_usd_per_h = number
    trust               = optional(string, "secure")
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
  description = "When the run has to be over, UTC, as YYYY-MM-DDThh:mm:ssZ."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z$", var.expires_at))
    error_message = "expires_at must look like 2026-11-21T18:00:00Z; got ${var.expires_at}."
  }
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
  description = "Id of the run, YYYYMMDD-HHMMSS-name; the prefix of every name."
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

# This environment's own.

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
  description = "What the machine costs in US dollars an hour; null tells the ceiling of its candidate."
  type        = number
  default     = null

  validation {
    condition     = var.aws_price_usd_per_h == null ? true : var.aws_price_usd_per_h >= 0
    error_message = "aws_price_usd_per_h must be 0 or more, or null."
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
