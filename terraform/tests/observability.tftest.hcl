# Where alarms go, and the page that shows all models.

mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/1" }
  }
}

variables {
  deployment = { name = "yard", region = "eu-central-1", account_id = "123456789012", arns = { iam = "arn:aws:iam::123456789012:", sns = "arn:aws:sns:eu-central-1:123456789012:" } }
  models = {
    digits = { function = "yard-digits", queue = "yard-digits", dead_letter_queue = "yard-digits-dlq", metric_dimensions = { Model = "digits", Variant = "stable" } }
    wine   = { function = "yard-wine", queue = "yard-wine", dead_letter_queue = "yard-wine-dlq", metric_dimensions = { Model = "wine", Variant = "stable" } }
  }
  alarms = { digits = ["yard-digits/dead_letters", "yard-digits/errors"], silent = [], wine = ["yard-wine/dead_letters"] }
}

run "one_alarm_fires_while_any_does" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition = (
      length(aws_cloudwatch_composite_alarm.overall) == 1 && aws_cloudwatch_composite_alarm.overall["00"].alarm_name == "yard/any" &&
      aws_cloudwatch_composite_alarm.overall["00"].alarm_rule == "ALARM(\"yard-digits/dead_letters\") OR ALARM(\"yard-digits/errors\") OR ALARM(\"yard-wine/dead_letters\")"
    )
    error_message = "The rule is ${aws_cloudwatch_composite_alarm.overall["00"].alarm_rule}."
  }
}

run "without_alarms_there_is_nothing_to_say" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { digits = [] }
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.overall) == 0
    error_message = "CloudWatch takes no empty rule."
  }
}

# A rule has at most 100 alarms and 10,240 characters.
run "the_alarms_of_many_models_are_grouped" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { for number in range(300) : format("m%03d", number) => [for alarm in ["dead_letters", "queue_age_s", "input_error_share"] : format("yard-of-16-chars-a-model-whose-name-has-forty-letters-%03d/%s", number, alarm)] }
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.overall) == 16
    error_message = "There are ${length(aws_cloudwatch_composite_alarm.overall)} groups."
  }
  assert {
    condition = toset(flatten([
      for group in aws_cloudwatch_composite_alarm.overall : [for named in split(" OR ", group.alarm_rule) : trimsuffix(trimprefix(named, "ALARM(\""), "\")")]
    ])) == toset(flatten(values(var.alarms)))
    error_message = "Every alarm must be in a group."
  }
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_composite_alarm.overall :
      length(alarm.alarm_rule) <= 10240 && length(split(" OR ", alarm.alarm_rule)) <= 100
    ])
    error_message = "A rule is too long."
  }
  assert {
    condition     = alltrue([for group, alarm in aws_cloudwatch_composite_alarm.overall : alarm.alarm_name == "yard/any-${group}"])
    error_message = "Each alarm needs a name of its own."
  }
}

# What docs/costs.md counts.
run "ten_models_have_as_many_as_the_docs_count" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { for number in range(10) : format("model-%03d", number) => [for alarm in ["dead_letters", "queue_age_s", "input_error_share"] : format("yard-model-%03d/%s", number, alarm)] }
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.overall) == yamldecode(file("../tests/plan/costs.yaml")).composite_alarms["10"]
    error_message = "There are ${length(aws_cloudwatch_composite_alarm.overall)} groups: correct tests/plan/costs.yaml and run `make docs`."
  }
}

run "a_hundred_models_have_as_many_as_the_docs_count" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { for number in range(100) : format("model-%03d", number) => [for alarm in ["dead_letters", "queue_age_s", "input_error_share"] : format("yard-model-%03d/%s", number, alarm)] }
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.overall) == yamldecode(file("../tests/plan/costs.yaml")).composite_alarms["100"]
    error_message = "There are ${length(aws_cloudwatch_composite_alarm.overall)} groups: correct tests/plan/costs.yaml and run `make docs`."
  }
}

run "two_hundred_and_fifty_models_have_as_many_as_the_docs_count" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { for number in range(250) : format("model-%03d", number) => [for alarm in ["dead_letters", "queue_age_s", "input_error_share"] : format("yard-model-%03d/%s", number, alarm)] }
  }

  assert {
    condition     = length(aws_cloudwatch_composite_alarm.overall) == yamldecode(file("../tests/plan/costs.yaml")).composite_alarms["250"]
    error_message = "There are ${length(aws_cloudwatch_composite_alarm.overall)} groups: correct tests/plan/costs.yaml and run `make docs`."
  }
}

run "names_that_fall_together_are_grouped_by_their_order" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { for number in range(830) : format("m%03d", number) => [for alarm in range(6) : format("yard-m%03d/%d", number, alarm)] }
  }

  assert {
    condition = (
      length(aws_cloudwatch_composite_alarm.overall) == 100 &&
      alltrue([for group in aws_cloudwatch_composite_alarm.overall : length(split(" OR ", group.alarm_rule)) <= 54])
    )
    error_message = "There are ${length(aws_cloudwatch_composite_alarm.overall)} groups."
  }
}

run "only_this_accounts_alarms_publish_and_only_by_tls" {
  module {
    source = "./modules/observability"
  }

  assert {
    condition = { for statement in jsondecode(aws_sns_topic.alarms[0].policy).Statement : statement.Sid => jsonencode(statement) } == {
      AlarmsOfThisAccount = jsonencode({
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:eu-central-1:123456789012:yard-alarms"
        Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
      })
      TlsOnly = jsonencode({
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:eu-central-1:123456789012:yard-alarms"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      })
    }
    error_message = "The topic's policy is ${aws_sns_topic.alarms[0].policy}."
  }
  assert {
    condition     = output.topic_arn == "arn:aws:sns:eu-central-1:123456789012:${aws_sns_topic.alarms[0].name}"
    error_message = "The topic is ${output.topic_arn}."
  }
}

run "the_topic_is_encrypted_with_a_key_that_alarms_may_use" {
  module {
    source = "./modules/observability"
  }

  assert {
    condition     = aws_sns_topic.alarms[0].kms_master_key_id == aws_kms_key.alarms[0].arn
    error_message = "The topic's key is ${aws_sns_topic.alarms[0].kms_master_key_id}."
  }
  assert {
    condition = jsonencode([for statement in jsondecode(aws_kms_key.alarms[0].policy).Statement : statement if statement.Principal == { Service = "cloudwatch.amazonaws.com" }]) == jsonencode([{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }])
    error_message = "The key's policy is ${aws_kms_key.alarms[0].policy}."
  }
  assert {
    condition     = aws_kms_key.alarms[0].enable_key_rotation
    error_message = "The key must be rotated."
  }
}

run "an_existing_topic_is_used_as_it_is" {
  module {
    source = "./modules/observability"
  }

  variables {
    topic_arn = "arn:aws:sns:eu-central-1:123456789012:on-call"
  }

  assert {
    condition     = output.topic_arn == "arn:aws:sns:eu-central-1:123456789012:on-call" && length(aws_sns_topic.alarms) == 0 && length(aws_kms_key.alarms) == 0
    error_message = "No topic and no key may be made beside the one that was given."
  }
}

run "the_dashboard_shows_every_model_in_every_graph" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition = alltrue([
      for widget in jsondecode(aws_cloudwatch_dashboard.models.dashboard_body).widgets :
      [for metric in widget.properties.metrics : metric[length(metric) - 1].label] == ["digits", "wine"]
    ])
    error_message = "The dashboard is ${aws_cloudwatch_dashboard.models.dashboard_body}."
  }
}

# A graph shows at most 500 metrics, a dashboard 2,500 and has at most a megabyte.
run "the_dashboard_of_the_largest_deployment_is_one_that_cloudwatch_takes" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    deployment = { name = "yard-of-16-chars", region = "ap-southeast-1", account_id = "123456789012", arns = { iam = "arn:aws-us-gov:iam::123456789012:", sns = "arn:aws-us-gov:sns:ap-southeast-1:123456789012:" } }
    models = { for number in range(300) : format("a-model-whose-name-has-forty-letters-%03d", number) => {
      function          = format("yard-of-16-chars-a-model-whose-name-has-forty-letters-%03d", number)
      queue             = format("yard-of-16-chars-a-model-whose-name-has-forty-letters-%03d", number)
      dead_letter_queue = format("yard-of-16-chars-a-model-whose-name-has-forty-letters-%03d-dlq", number)
      metric_dimensions = { Model = format("a-model-whose-name-has-forty-letters-%03d", number), Variant = "stable" }
    } }
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.models.dashboard_body) < 1000000
    error_message = "The dashboard has ${length(aws_cloudwatch_dashboard.models.dashboard_body)} characters."
  }
  assert {
    condition = (
      alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.models.dashboard_body).widgets : length(widget.properties.metrics) <= 500]) &&
      sum([for widget in jsondecode(aws_cloudwatch_dashboard.models.dashboard_body).widgets : length(widget.properties.metrics)]) <= 2500
    )
    error_message = "The dashboard has too many metrics."
  }
}
