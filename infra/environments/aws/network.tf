# The machine stands in a network that is there already, behind a firewall of its own.

locals {
  in_default_vpc = var.aws_vpc_id == null && var.aws_subnet_id == null
  only_vpc_given = var.aws_vpc_id != null && var.aws_subnet_id == null

  ingress_ipv4_cidrs = [for cidr in var.ssh_ingress_cidrs : cidr if !strcontains(cidr, ":")]
  ingress_ipv6_cidrs = [for cidr in var.ssh_ingress_cidrs : cidr if strcontains(cidr, ":")]

  # In the default VPC nothing is asked for: AWS then takes a zone that offers the machine and has one.
  subnet_id = local.only_vpc_given ? sort(data.aws_subnets.fitting[0].ids)[0] : var.aws_subnet_id
}

data "aws_subnet" "given" {
  count = var.aws_subnet_id == null ? 0 : 1
  id    = var.aws_subnet_id

  lifecycle {
    postcondition {
      condition     = var.aws_vpc_id == null || self.vpc_id == var.aws_vpc_id
      error_message = "aws_subnet_id must be a subnet of aws_vpc_id; ${self.id} belongs to ${self.vpc_id}."
    }
  }
}

data "aws_vpc" "this" {
  id      = local.in_default_vpc ? null : var.aws_vpc_id == null ? data.aws_subnet.given[0].vpc_id : var.aws_vpc_id
  default = local.in_default_vpc ? true : null
}

data "aws_ec2_instance_type_offerings" "zones" {
  count         = local.only_vpc_given ? 1 : 0
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [local.wanted.instance_type]
  }

  lifecycle {
    postcondition {
      condition     = length(self.locations) > 0
      error_message = "candidates[0].instance_type must be offered in its region; ${local.wanted.region} has no ${local.wanted.instance_type}."
    }
  }
}

data "aws_subnets" "fitting" {
  count = local.only_vpc_given ? 1 : 0

  filter {
    name   = "vpc-id"
    values = [var.aws_vpc_id]
  }

  filter {
    name   = "availability-zone"
    values = data.aws_ec2_instance_type_offerings.zones[0].locations
  }

  lifecycle {
    postcondition {
      condition     = length(self.ids) > 0
      error_message = "aws_vpc_id must have a subnet in a zone that offers ${local.wanted.instance_type}; give aws_subnet_id, or another VPC."
    }
  }
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV_AWS_24:Which networks come in is known at run time alone; the rules of ssh_ingress_cidrs and the tests hold them
  name        = local.name
  description = "Douse: SSH from the runner alone; out to package mirrors, the hub and the store"
  vpc_id      = data.aws_vpc.this.id

  ingress {
    description      = "SSH from the runner"
    protocol         = "tcp"
    from_port        = 22
    to_port          = 22
    cidr_blocks      = local.ingress_ipv4_cidrs
    ipv6_cidr_blocks = local.ingress_ipv6_cidrs
  }

  dynamic "egress" {
    for_each = toset(var.aws_egress_ports)

    content {
      description      = "Package mirrors, the hub and the store"
      protocol         = "tcp"
      from_port        = egress.value
      to_port          = egress.value
      cidr_blocks      = ["0.0.0.0/0"]
      ipv6_cidr_blocks = ["::/0"]
    }
  }

  tags = { Name = local.name }

  lifecycle {
    precondition {
      condition     = length(var.ssh_ingress_cidrs) > 0
      error_message = "ssh_ingress_cidrs must name the runner's own network on AWS; it is empty, so you could not log in."
    }
  }
}
