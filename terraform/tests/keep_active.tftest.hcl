# Who is called once a week, by whom and with what.

mock_provider "aws" {}

variables {
  deployment = { name = "yard", account_id = "123456789012", arns = { iam = "arn:aws:iam::123456789012:", lambda = "arn:aws:lambda:eu-central-1:123456789012:", scheduler = "arn:aws:scheduler:eu-central-1:123456789012:" } }
  others     = ["yard--weights-sync"]
}

run "models_are_called_by_their_alias_and_nobody_else_is" {
  module {
    source = "./modules/keep_active"
  }

  variables {
    models = ["yard-digits", "yard-wine"]
  }

  assert {
    condition = { for name, schedule in aws_scheduler_schedule.this : schedule.name => schedule.target[0].arn } == {
      yard--weights-sync = "arn:aws:lambda:eu-central-1:123456789012:function:yard--weights-sync"
      yard-digits        = "arn:aws:lambda:eu-central-1:123456789012:function:yard-digits:live"
      yard-wine          = "arn:aws:lambda:eu-central-1:123456789012:function:yard-wine:live"
    }
    error_message = "What is called is ${jsonencode({ for name, schedule in aws_scheduler_schedule.this : schedule.name => schedule.target[0].arn })}."
  }
  assert {
    condition = alltrue([
      for schedule in aws_scheduler_schedule.this :
      schedule.schedule_expression == "rate(7 days)" && schedule.target[0].role_arn == "arn:aws:iam::123456789012:role/yard--keep-active"
    ])
    error_message = "Every schedule is a weekly one, under the one role."
  }
}

run "without_models_the_other_functions_are_called_all_the_same" {
  module {
    source = "./modules/keep_active"
  }

  variables {
    models = []
  }

  assert {
    condition     = keys(aws_scheduler_schedule.this) == ["yard--weights-sync"]
    error_message = "What is called is ${jsonencode(keys(aws_scheduler_schedule.this))}."
  }
}
