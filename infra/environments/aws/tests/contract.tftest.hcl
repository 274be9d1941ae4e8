mock_provider "aws" {
  mock_data "aws_ami" {
    defaults = {
      architecture          = "x86_64"
      block_device_mappings = [{ device_name = "/dev/sda1", ebs = { volume_size = "65" } }]
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

# What only the cloud knows, as it might answer.
override_resource {
  target = aws_instance.this
  values = {
    id         = "i-0123456789abcdef0"
    private_ip = "172.31.0.7"
    public_ip  = "203.0.113.7"
  }
}

variables {
  aws_price_usd_per_h = 1.006
  aws_host_key        = "ssh-ed25519 AAAA"
  aws_user_data       = "#cloud-config\n"
  candidates          = [{ instance_type = "g5.xlarge", region = "us-east-1", spot = false, max_price_usd_per_h = 1.1 }]
  disk_size_gib       = 100
  expires_at          = "2026-11-22T01:55:00Z"
  labels              = {}
  run_id              = "20261121-015500-tiny"
  ssh_ingress_cidrs   = ["203.0.113.7/32"]
  ssh_public_key      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lFvEDy3Qx4UU3x2wk5M8EXWXYIb7V0P9rRxfZ7yXq"
}

run "hands_back_a_machine" {
  assert {
    condition     = output.host.address == "203.0.113.7" && output.host.port == 22 && output.host.user == "ubuntu"
    error_message = "The machine is reached at its public address."
  }

  assert {
    condition     = output.host.instance_type == "g5.xlarge" && output.host.region == "us-east-1" && output.host.cloud == "aws"
    error_message = "The machine is the first candidate's."
  }

  assert {
    condition     = output.host.price_usd_per_h == 1.006 && output.host.spot == false
    error_message = "The price is the quoted one."
  }

  assert {
    condition     = output.host.host_key == "ssh-ed25519 AAAA"
    error_message = "The host key is known before the first contact."
  }

  assert {
    condition     = output.instructions == "ssh ubuntu@203.0.113.7"
    error_message = "The instructions are a command that works."
  }
}

run "everything_created_is_named_and_marked" {
  variables {
    labels = { "team" = "red" }
  }

  assert {
    condition = alltrue([for name in [
      aws_instance.this.tags["Name"], aws_instance.this.root_block_device[0].tags["Name"], aws_key_pair.this.key_name,
      aws_security_group.this.name, aws_security_group.this.tags["Name"]
    ] : name == "douse-20261121-015500-tiny"])
    error_message = "Everything carries the run's name."
  }

  assert {
    condition     = jsonencode(local.tags) == jsonencode({ "douse-expires" = "20261122t015500z", "douse-run" = "20261121-015500-tiny", "team" = "red" })
    error_message = "The provider's default tags say whose it is and when it has to be over."
  }

  assert {
    condition     = alltrue([for name, value in local.tags : aws_instance.this.root_block_device[0].tags[name] == value])
    error_message = "The disk, which the default tags leave out, carries the same."
  }
}

run "carries_the_end_of_its_candidate" {
  command = plan
  variables {
    candidates = [{
      instance_type = "g5.xlarge", region = "us-east-1", spot = false, max_price_usd_per_h = 1.1
      expires_at    = "2026-11-21T18:30:00Z"
    }]
  }

  assert {
    condition     = local.tags["douse-expires"] == "20261121t183000z"
    error_message = "A candidate's own end goes before that of the run."
  }
}

run "the_name_of_a_long_run_fits" {
  variables {
    run_id = "20261121-015500-a123456789-123456789-123456789-123456789-123"
  }

  assert {
    condition     = aws_key_pair.this.key_name == "douse-20261121-015500-a123456789-123456789-123456789-123456789-1"
    error_message = "Names are cut at 64 characters, as the runner cuts them."
  }
}

run "the_machine_is_closed_and_can_end_itself" {
  assert {
    condition     = aws_instance.this.instance_initiated_shutdown_behavior == "terminate"
    error_message = "A machine that powers itself off is gone, and so is its bill."
  }

  assert {
    condition = (
      aws_instance.this.metadata_options[0].http_tokens == "required"
      && aws_instance.this.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "The metadata service wants a token, one hop away at most."
  }

  assert {
    condition = (
      aws_instance.this.root_block_device[0].encrypted && aws_instance.this.root_block_device[0].volume_type == "gp3"
      && aws_instance.this.root_block_device[0].delete_on_termination
    )
    error_message = "The disk is encrypted gp3 and goes with the machine."
  }

  assert {
    condition     = aws_instance.this.root_block_device[0].volume_size == 165
    error_message = "The disk holds the image and leaves what the run needs."
  }

  assert {
    condition = (
      one(aws_security_group.this.ingress).cidr_blocks == tolist(["203.0.113.7/32"])
      && one(aws_security_group.this.ingress).from_port == 22 && one(aws_security_group.this.ingress).to_port == 22
    )
    error_message = "Nothing but SSH comes in, from the runner alone."
  }

  assert {
    condition     = toset([for rule in aws_security_group.this.egress : rule.from_port]) == toset([80, 443])
    error_message = "Out go package mirrors, the hub and the store."
  }

  assert {
    condition     = length(aws_instance.this.instance_market_options) == 0
    error_message = "An on-demand machine makes no bid."
  }
}

run "rents_a_spot_machine_once" {
  variables {
    aws_price_usd_per_h = 0.41
    candidates          = [{ instance_type = "g5.xlarge", region = "us-east-1", spot = true, max_price_usd_per_h = 0.6 }]
  }

  assert {
    condition = (
      one(aws_instance.this.instance_market_options).market_type == "spot"
      && one(one(aws_instance.this.instance_market_options).spot_options).max_price == "0.6"
      && one(one(aws_instance.this.instance_market_options).spot_options).spot_instance_type == "one-time"
    )
    error_message = "The bid is the ceiling, and nobody rents again by himself."
  }

  assert {
    condition     = output.host.spot && output.host.price_usd_per_h == 0.41
    error_message = "The host says that it may be reclaimed."
  }
}

run "takes_a_subnet_that_is_given" {
  state_key = "a_machine_of_its_own"

  variables {
    aws_subnet_id     = "subnet-0123abcd"
    ssh_ingress_cidrs = ["203.0.113.7/32", "2001:db8::7/128"]
  }

  override_data {
    target = data.aws_subnet.given
    values = {
      vpc_id = "vpc-0123abcd"
    }
  }

  override_data {
    target = data.aws_vpc.this
    values = {
      id = "vpc-0123abcd"
    }
  }

  override_resource {
    target = aws_instance.this
    values = {
      private_ip = "10.0.0.7"
      public_ip  = ""
    }
  }

  assert {
    condition     = aws_instance.this.subnet_id == "subnet-0123abcd" && aws_security_group.this.vpc_id == "vpc-0123abcd"
    error_message = "Machine and firewall stand in the given network."
  }

  assert {
    condition     = output.host.address == "10.0.0.7"
    error_message = "Without a public address the machine is reached at its private one."
  }

  assert {
    condition     = one(aws_security_group.this.ingress).ipv6_cidr_blocks == tolist(["2001:db8::7/128"])
    error_message = "Networks of both kinds are let in."
  }
}

run "takes_the_first_fitting_subnet_of_a_vpc" {
  state_key = "another_machine"

  variables {
    aws_vpc_id = "vpc-0123abcd"
  }

  override_data {
    target = data.aws_ec2_instance_type_offerings.zones
    values = {
      locations = ["us-east-1a", "us-east-1c"]
    }
  }

  override_data {
    target = data.aws_subnets.fitting
    values = {
      ids = ["subnet-0222", "subnet-0111"]
    }
  }

  assert {
    condition     = aws_instance.this.subnet_id == "subnet-0111"
    error_message = "The choice does not depend on the order of AWS's answer."
  }
}

run "leaves_the_zone_to_aws_in_the_default_vpc" {
  assert {
    condition     = length(data.aws_subnet.given) == 0 && length(data.aws_subnets.fitting) == 0 && local.subnet_id == null
    error_message = "AWS knows best which zone has a machine left."
  }
}

run "gives_the_rights_that_are_given" {
  variables {
    aws_instance_profile = "douse-box"
  }

  assert {
    condition     = aws_instance.this.iam_instance_profile == "douse-box"
    error_message = "The machine gets the instance profile."
  }
}

run "tells_the_ceiling_when_no_price_is_given" {
  variables {
    aws_price_usd_per_h = null
  }

  assert {
    condition     = output.host.price_usd_per_h == 1.1
    error_message = "A price that nobody quoted is the highest it may be."
  }
}

run "takes_an_image_that_is_given" {
  variables {
    aws_ami_id = "ami-0123456789abcdef1"
  }

  assert {
    condition = (
      length(data.aws_ssm_parameter.image) == 0
      && one(data.aws_ami.image.filter).values == toset(["ami-0123456789abcdef1"])
    )
    error_message = "No parameter is read, and the image is the one that is named."
  }
}

run "schedules_no_end_unless_it_is_told_the_role" {
  assert {
    condition     = length(aws_scheduler_schedule.end) == 0 && !contains(keys(aws_instance.this.tags), "douse-schedule")
    error_message = "There is no schedule, and no tag that says so."
  }
}

run "schedules_the_end_of_the_machine" {
  variables {
    aws_schedule_role_arn = "arn:aws-us-gov:iam::123456789012:role/douse-scheduler"
  }

  assert {
    condition = (
      aws_scheduler_schedule.end[0].name == "douse-20261121-015500-tiny"
      && aws_instance.this.tags["douse-schedule"] == "douse-20261121-015500-tiny"
    )
    error_message = "The schedule has the run's name, and the machine says that there is one."
  }

  assert {
    condition = (
      aws_scheduler_schedule.end[0].schedule_expression == "at(2026-11-22T01:55:00)"
      && aws_scheduler_schedule.end[0].schedule_expression_timezone == "UTC"
      && one(aws_scheduler_schedule.end[0].flexible_time_window).mode == "OFF"
    )
    error_message = "It comes once, when the run has to be over."
  }

  assert {
    condition = (
      one(aws_scheduler_schedule.end[0].target).arn == "arn:aws-us-gov:scheduler:::aws-sdk:ec2:terminateInstances"
      && jsondecode(one(aws_scheduler_schedule.end[0].target).input) == { InstanceIds = ["i-0123456789abcdef0"] }
    )
    error_message = "It terminates this machine, and nothing else."
  }
}
