# One machine: the first candidate. The runner goes down the list by applying again with the rest, after a destroy.

locals {
  wanted = var.candidates[0]
  name   = substr("douse-${var.run_id}", 0, 64)
  tags   = merge(var.labels, { "douse-run" = var.run_id, "douse-expires" = local.expires_mark })

  image_disk_gib = [
    for device in data.aws_ami.image.block_device_mappings : tonumber(device.ebs.volume_size)
    if device.device_name == data.aws_ami.image.root_device_name
  ]
}

data "aws_ssm_parameter" "image" {
  count = var.aws_ami_id == null ? 1 : 0
  name  = var.aws_ami_parameter
}

data "aws_ami" "image" {
  include_deprecated = true # so that the postcondition can say what is wrong with it

  filter {
    name   = "image-id"
    values = [var.aws_ami_id == null ? data.aws_ssm_parameter.image[0].insecure_value : var.aws_ami_id]
  }

  lifecycle {
    postcondition {
      condition     = self.architecture == "x86_64" && self.root_device_type == "ebs" && self.platform != "windows"
      error_message = "aws_ami_id or aws_ami_parameter must name a Linux image for x86_64 with an EBS root; ${self.name} is ${self.architecture}, ${self.root_device_type}."
    }

    postcondition {
      condition     = self.deprecation_time == "" || try(timecmp(self.deprecation_time, plantimestamp()) > 0, true)
      error_message = "aws_ami_id or aws_ami_parameter must name an image that is still kept up; ${self.name} is deprecated since ${self.deprecation_time}."
    }
  }
}

resource "aws_key_pair" "this" {
  key_name   = local.name
  public_key = var.ssh_public_key

  lifecycle {
    precondition {
      condition     = var.ssh_public_key != null
      error_message = "ssh_public_key must be set on AWS; without it you cannot log in."
    }
  }
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_126:The runner watches the machine itself, every few seconds; detailed monitoring costs extra
  #checkov:skip=CKV2_AWS_41:A machine without a profile has no rights at all; the runner hands it short-lived ones of its own run
  ami                    = data.aws_ami.image.id
  instance_type          = local.wanted.instance_type
  key_name               = aws_key_pair.this.key_name
  subnet_id              = local.subnet_id
  vpc_security_group_ids = [aws_security_group.this.id]
  iam_instance_profile   = var.aws_instance_profile
  ebs_optimized          = true

  # The machine's own way out: whatever powers it off ends it, and its bill.
  instance_initiated_shutdown_behavior = "terminate"

  user_data                   = var.aws_user_data
  user_data_replace_on_change = true

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = sum(concat([var.disk_size_gib], local.image_disk_gib)) # what the run needs is free space
    encrypted             = true
    delete_on_termination = true
    tags                  = merge(local.tags, { Name = local.name })
  }

  dynamic "instance_market_options" {
    for_each = local.wanted.spot ? ["spot"] : []

    content {
      market_type = "spot"

      spot_options {
        max_price                      = tostring(local.wanted.max_price_usd_per_h)
        spot_instance_type             = "one-time"
        instance_interruption_behavior = "terminate"
      }
    }
  }

  # By its tag the runner knows that there is a schedule to move.
  tags = merge({ Name = local.name }, var.aws_schedule_role_arn == null ? {} : { "douse-schedule" = local.name })

  lifecycle {
    # A newer image or another subnet is no reason to replace a machine that is training.
    ignore_changes = [ami, subnet_id]

    precondition {
      condition     = !local.wanted.spot || local.wanted.max_price_usd_per_h > 0
      error_message = "candidates[0].max_price_usd_per_h must be over 0 for a spot machine; it is the bid."
    }

    precondition {
      condition     = coalesce(var.aws_price_usd_per_h, 0) <= local.wanted.max_price_usd_per_h
      error_message = "aws_price_usd_per_h must be within candidates[0].max_price_usd_per_h, ${local.wanted.max_price_usd_per_h}; got ${coalesce(var.aws_price_usd_per_h, 0)}."
    }

    precondition {
      condition     = var.aws_host_key == null || var.aws_user_data != null
      error_message = "aws_host_key must come with the aws_user_data that puts it on the machine."
    }
  }
}

# An end on the server's side: it comes also when the machine does not power off, and the runner is gone.
resource "aws_scheduler_schedule" "end" {
  #checkov:skip=CKV_AWS_297:It holds the id of a machine and a time, nothing that a key of one's own would keep secret
  count = var.aws_schedule_role_arn == null ? 0 : 1

  name        = local.name # a schedule has no tags: its name is its mark
  description = "Douse: terminate the machine of run ${var.run_id}"

  schedule_expression          = "at(${trimsuffix(coalesce(local.wanted.expires_at, var.expires_at), "Z")})"
  schedule_expression_timezone = "UTC"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:${split(":", var.aws_schedule_role_arn)[1]}:scheduler:::aws-sdk:ec2:terminateInstances"
    role_arn = var.aws_schedule_role_arn
    input    = jsonencode({ InstanceIds = [aws_instance.this.id] })

    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }
  }

  lifecycle {
    ignore_changes = [schedule_expression] # the runner moves it as the lease
  }
}
