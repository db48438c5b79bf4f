# From an upload to a queue: which keys S3 sends where, and how long a queue keeps trying.

mock_provider "aws" {}

variables {
  deployment      = { name = "yard", region = "eu-central-1", account_id = "123456789012", arns = { s3 = "arn:aws:s3:::", sqs = "arn:aws:sqs:eu-central-1:123456789012:", events = "arn:aws:events:eu-central-1:123456789012:" } }
  inputs_bucket   = "yard-inputs"
  event_way       = "notification"
  began_with      = "notification"
  minutes_to_wait = 10
  models = {
    digits = { prefixes = ["digits/", "scans/"], suffixes = [".png", ".json"], queue = "yard-digits", dead_letter_queue = "yard-digits-dlq", visibility_timeout_s = 361, retries = 5, tags = {} }
    wine   = { prefixes = ["wine/"], suffixes = [], queue = "yard-wine", dead_letter_queue = "yard-wine-dlq", visibility_timeout_s = 361, retries = 5, tags = {} }
  }
}

run "every_prefix_with_every_suffix_leads_to_the_models_queue" {
  command = plan

  module {
    source = "./modules/routing"
  }

  assert {
    condition = toset([for queue in aws_s3_bucket_notification.inputs.queue : "${queue.filter_prefix}*${queue.filter_suffix == null ? "" : queue.filter_suffix}"]) == toset([
      "digits/*.png", "digits/*.json", "scans/*.png", "scans/*.json", "wine/*",
    ])
    error_message = "The notification has: ${jsonencode(aws_s3_bucket_notification.inputs.queue)}."
  }
  assert {
    condition = alltrue([
      for queue in aws_s3_bucket_notification.inputs.queue :
      queue.queue_arn == "arn:aws:sqs:eu-central-1:123456789012:yard-${startswith(queue.filter_prefix, "wine/") ? "wine" : "digits"}"
    ])
    error_message = "The notification has: ${jsonencode(aws_s3_bucket_notification.inputs.queue)}."
  }
  assert {
    condition     = toset(flatten(aws_s3_bucket_notification.inputs.queue[*].events)) == toset(["s3:ObjectCreated:*"])
    error_message = "Only objects that were made are inputs, however they were made."
  }
  assert {
    condition     = !aws_s3_bucket_notification.inputs.eventbridge && length(aws_cloudwatch_event_rule.inputs) == 0
    error_message = "EventBridge has no part in it."
  }
}

run "with_eventbridge_one_rule_per_model_names_its_prefixes" {
  command = plan

  module {
    source = "./modules/routing"
  }

  variables {
    event_way = "both"
  }

  assert {
    condition = { for name, rule in aws_cloudwatch_event_rule.inputs : rule.name => jsondecode(rule.event_pattern) } == {
      yard-digits = {
        source      = ["aws.s3"]
        detail-type = ["Object Created"]
        detail      = { bucket = { name = ["yard-inputs"] }, object = { key = [{ prefix = "digits/" }, { prefix = "scans/" }] } }
      }
      yard-wine = {
        source      = ["aws.s3"]
        detail-type = ["Object Created"]
        detail      = { bucket = { name = ["yard-inputs"] }, object = { key = [{ prefix = "wine/" }] } }
      }
    }
    error_message = "The rules are ${jsonencode(values(aws_cloudwatch_event_rule.inputs)[*].event_pattern)}."
  }
  assert {
    condition = { for name, target in aws_cloudwatch_event_target.inputs : target.rule => target.arn } == {
      yard-digits = "arn:aws:sqs:eu-central-1:123456789012:yard-digits"
      yard-wine   = "arn:aws:sqs:eu-central-1:123456789012:yard-wine"
    }
    error_message = "The targets are ${jsonencode(values(aws_cloudwatch_event_target.inputs)[*].arn)}."
  }
  assert {
    condition     = aws_s3_bucket_notification.inputs.eventbridge && length(aws_s3_bucket_notification.inputs.queue) == 5
    error_message = "Both ways are in one notification of the bucket."
  }
}

run "eventbridge_alone_cannot_be_the_first_record_of_a_deployment_that_began_with_the_notification" {
  command = plan

  module {
    source = "./modules/routing"
  }

  variables {
    event_way = "eventbridge"
  }

  expect_failures = [terraform_data.way["eventbridge"]]
}

run "a_new_deployment_may_begin_with_eventbridge" {
  command = plan

  module {
    source = "./modules/routing"
  }

  variables {
    event_way  = "eventbridge"
    began_with = "eventbridge"
  }
}

# What follows goes on from this deployment, which uses the notification.
run "the_notification_is_the_first_way" {
  module {
    source = "./modules/routing"
  }
}

run "from_the_notification_to_eventbridge_alone_is_refused" {
  command = plan

  module {
    source = "./modules/routing"
  }

  variables {
    event_way = "eventbridge"
  }

  expect_failures = [terraform_data.way["eventbridge"]]
}

run "both_ways_come_first" {
  module {
    source = "./modules/routing"
  }

  variables {
    event_way = "both"
  }

  assert {
    condition     = keys(terraform_data.way) == ["eventbridge", "notification"]
    error_message = "The ways are ${jsonencode(keys(terraform_data.way))}."
  }
}

run "eventbridge_alone_is_refused_until_s3_has_had_time_to_follow" {
  command = plan

  module {
    source = "./modules/routing"
  }

  variables {
    event_way = "eventbridge"
  }

  expect_failures = [terraform_data.way["eventbridge"]]
}

run "back_to_the_notification_needs_no_wait" {
  command = plan

  module {
    source = "./modules/routing"
  }

  assert {
    condition     = keys(terraform_data.way) == ["notification"] && length(aws_cloudwatch_event_rule.inputs) == 0
    error_message = "The ways are ${jsonencode(keys(terraform_data.way))}."
  }
}

run "a_queue_keeps_inputs_for_days_and_dead_letters_for_longer" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    name                 = "yard-digits"
    dead_letter_name     = "yard-digits-dlq"
    event_rule           = null
    visibility_timeout_s = 273
    retries              = 4
    tags                 = {}
  }

  assert {
    condition     = aws_sqs_queue.inputs.visibility_timeout_seconds == 273
    error_message = "The visibility timeout is ${aws_sqs_queue.inputs.visibility_timeout_seconds} s."
  }
  assert {
    condition = jsondecode(aws_sqs_queue.inputs.redrive_policy) == {
      deadLetterTargetArn = "arn:aws:sqs:eu-central-1:123456789012:yard-digits-dlq"
      maxReceiveCount     = 4
    }
    error_message = "The redrive policy is ${aws_sqs_queue.inputs.redrive_policy}."
  }
  assert {
    condition     = aws_sqs_queue.inputs.message_retention_seconds == 4 * 86400 && aws_sqs_queue.dead_letters.message_retention_seconds == 14 * 86400
    error_message = "Inputs are kept 4 days, dead letters 14."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.dead_letters.redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-central-1:123456789012:yard-digits"]
    error_message = "Only the model's own queue may put letters here: ${aws_sqs_queue.dead_letters.redrive_allow_policy}."
  }
  assert {
    condition     = aws_sqs_queue.inputs.sqs_managed_sse_enabled && aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    error_message = "Both queues are encrypted."
  }
}

run "only_the_inputs_bucket_of_this_account_may_send" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    name                 = "yard-digits"
    dead_letter_name     = "yard-digits-dlq"
    event_rule           = null
    visibility_timeout_s = 361
    retries              = 5
    tags                 = {}
  }

  assert {
    condition = jsondecode(aws_sqs_queue.inputs.policy).Statement == [{
      Sid       = "InputsBucket"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:123456789012:yard-digits"
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::yard-inputs" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    }]
    error_message = "The policy is ${aws_sqs_queue.inputs.policy}."
  }
}

run "with_eventbridge_alone_only_the_models_rule_may_send" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    name                 = "yard-digits"
    dead_letter_name     = "yard-digits-dlq"
    inputs_bucket        = null
    event_rule           = "yard-digits"
    visibility_timeout_s = 361
    retries              = 5
    tags                 = {}
  }

  assert {
    condition = jsondecode(aws_sqs_queue.inputs.policy).Statement == [{
      Sid       = "EventRule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:123456789012:yard-digits"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:events:eu-central-1:123456789012:rule/yard-digits" } }
    }]
    error_message = "The policy is ${aws_sqs_queue.inputs.policy}."
  }
}
