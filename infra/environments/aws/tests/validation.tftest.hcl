mock_provider "aws" {
  mock_data "aws_ami" {
    defaults = {
      architecture          = "x86_64"
      block_device_mappings = []
      deprecation_time      = ""
      platform              = ""
      root_device_name      = "/dev/sda1"
      root_device_type      = "ebs"
    }
  }

  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }
}

variables {
  aws_price_usd_per_h = 1.006
  candidates          = [{ instance_type = "g5.xlarge", region = "us-east-1", spot = false, max_price_usd_per_h = 1.1 }]
  disk_size_gib       = 100
  expires_at          = "2026-11-22T01:55:00Z"
  labels              = {}
  run_id              = "20261121-015500-tiny"
  ssh_ingress_cidrs   = ["203.0.113.7/32"]
  ssh_public_key      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

# Each refusal is by the rule of one variable, and each run starts the provider: what can be refused together is.
run "refuses_values_that_are_none" {
  command = plan
  variables {
    aws_ami_id            = "/aws/service/mine"
    aws_egress_ports      = [443, 0]
    aws_host_key          = "ssh-ed25519 AAAA me@home"
    aws_instance_profile  = "arn:aws:iam::123456789012:instance-profile/x"
    aws_max_retries       = 26
    aws_price_usd_per_h   = -0.01
    aws_schedule_role_arn = "douse-scheduler"
    aws_subnet_id         = "vpc-0123abcd"
    aws_user              = ""
    aws_user_data         = "#!/bin/sh\ntrue\n"
    aws_vpc_id            = "default"
  }
  expect_failures = [
    var.aws_ami_id, var.aws_egress_ports, var.aws_host_key, var.aws_instance_profile, var.aws_max_retries,
    var.aws_price_usd_per_h, var.aws_schedule_role_arn, var.aws_subnet_id, var.aws_user, var.aws_user_data,
    var.aws_vpc_id
  ]
}

run "refuses_half_a_parameter_name" {
  command = plan
  variables {
    aws_ami_parameter = "ami-id"
  }
  expect_failures = [var.aws_ami_parameter]
}

run "refuses_user_data_that_ec2_would_refuse" {
  command = plan
  variables {
    aws_user_data = "#cloud-config\n${format("%016384d", 0)}"
  }
  expect_failures = [var.aws_user_data]
}

run "refuses_to_leave_ssh_closed" {
  command = plan
  variables {
    ssh_ingress_cidrs = []
  }
  expect_failures = [aws_security_group.this]
}

run "refuses_to_rent_without_a_key" {
  command = plan
  variables {
    ssh_public_key = null
  }
  expect_failures = [aws_key_pair.this]
}

run "refuses_a_price_above_the_ceiling" {
  command = plan
  variables {
    aws_price_usd_per_h = 1.11
  }
  expect_failures = [aws_instance.this]
}

run "refuses_a_spot_machine_without_a_bid" {
  command = plan
  variables {
    aws_price_usd_per_h = 0
    candidates          = [{ instance_type = "g5.xlarge", region = "us-east-1", spot = true, max_price_usd_per_h = 0 }]
  }
  expect_failures = [aws_instance.this]
}

run "refuses_a_host_key_that_nobody_puts_there" {
  command = plan
  variables {
    aws_host_key = "ssh-ed25519 AAAA"
  }
  expect_failures = [aws_instance.this]
}

run "refuses_an_image_for_arm" {
  command = plan
  variables {
    aws_ami_parameter = "/douse/ami"
  }

  override_data {
    target = data.aws_ami.image
    values = {
      architecture          = "arm64"
      block_device_mappings = []
      deprecation_time      = ""
      platform              = ""
      root_device_name      = "/dev/sda1"
      root_device_type      = "ebs"
    }
  }

  expect_failures = [data.aws_ami.image]
}

run "refuses_an_image_without_a_disk" {
  command = plan
  variables {
    aws_ami_parameter = "/douse/ami"
  }

  override_data {
    target = data.aws_ami.image
    values = {
      architecture          = "x86_64"
      block_device_mappings = []
      deprecation_time      = ""
      platform              = ""
      root_device_name      = "/dev/sda1"
      root_device_type      = "instance-store"
    }
  }

  expect_failures = [data.aws_ami.image]
}

run "refuses_a_deprecated_image" {
  command = plan
  variables {
    aws_ami_parameter = "/douse/ami"
  }

  override_data {
    target = data.aws_ami.image
    values = {
      architecture          = "x86_64"
      block_device_mappings = []
      deprecation_time      = "2026-01-01T00:00:00.000Z"
      platform              = ""
      root_device_name      = "/dev/sda1"
      root_device_type      = "ebs"
    }
  }

  expect_failures = [data.aws_ami.image]
}

run "refuses_a_subnet_of_another_vpc" {
  command = plan
  variables {
    aws_subnet_id = "subnet-0123abcd"
    aws_vpc_id    = "vpc-0123abcd"
  }

  override_data {
    target = data.aws_subnet.given
    values = {
      vpc_id = "vpc-4567cdef"
    }
  }

  expect_failures = [data.aws_subnet.given]
}

run "refuses_a_machine_that_the_region_does_not_offer" {
  command = plan
  variables {
    aws_vpc_id = "vpc-0123abcd"
  }

  override_data {
    target = data.aws_ec2_instance_type_offerings.zones
    values = {
      locations = []
    }
  }

  expect_failures = [data.aws_ec2_instance_type_offerings.zones]
}

run "refuses_a_vpc_without_a_fitting_subnet" {
  command = plan
  variables {
    aws_vpc_id = "vpc-0123abcd"
  }

  override_data {
    target = data.aws_ec2_instance_type_offerings.zones
    values = {
      locations = ["us-east-1a"]
    }
  }

  override_data {
    target = data.aws_subnets.fitting
    values = {
      ids = []
    }
  }

  expect_failures = [data.aws_subnets.fitting]
}
