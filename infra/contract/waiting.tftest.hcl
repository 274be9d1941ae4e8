# What environments with waiting.tf refuse besides; run like contract.tftest.hcl.

run "refuses_to_wait_for_hours" {
  command = plan
  variables {
    create_timeout_s = 7201
  }
  expect_failures = [var.create_timeout_s]
}

run "refuses_to_wait_for_hours_for_the_end" {
  command = plan
  variables {
    delete_timeout_s = 7201
  }
  expect_failures = [var.delete_timeout_s]
}
