mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/douse-scheduler", id = "douse-scheduler" }
  }
}

run "makes_a_role_that_only_the_scheduler_of_this_account_takes" {
  assert {
    condition = jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
    error_message = "Nobody but the scheduler takes the role, and for no other account."
  }
}

run "lets_it_terminate_machines_of_runs_and_nothing_else" {
  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.scheduler.policy).Statement :
      [statement.Effect, statement.Action, statement.Condition.StringLike["ec2:ResourceTag/douse-run"]]
    ] == [["Allow", "ec2:TerminateInstances", "*"]]
    error_message = "It terminates what carries a run's tag, and can do nothing else."
  }
}

run "hands_back_what_the_run_file_takes" {
  assert {
    condition     = output.schedule_role_arn == "arn:aws:iam::123456789012:role/douse-scheduler"
    error_message = "The output is the role's ARN."
  }
}
