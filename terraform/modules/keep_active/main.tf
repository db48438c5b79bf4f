# Calls functions once a week. Lambda makes a function in a network inactive if nobody calls it for weeks, and refuses its
# next calls until it has restored the function (scripts/modelctl/deployed/restoring.py).

locals {
  role_name = "${var.deployment.name}--keep-active"
  alias     = "live" # the one of modules/model

  # What is called, by the name of its schedule.
  called = merge({ for name in var.models : name => "${name}:${local.alias}" }, { for name in var.others : name => name })
}

resource "aws_iam_role" "this" {
  name = local.role_name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = {
          "aws:SourceAccount" = var.deployment.account_id
          "aws:SourceArn"     = "${var.deployment.arns.scheduler}schedule-group/default" # AWS allows no single schedule here
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "scheduler"
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Call"
      Effect = "Allow"
      Action = ["lambda:InvokeFunction"]
      # All models, because the names of hundreds do not fit into a policy.
      Resource = [
        for function in concat(["${var.deployment.name}-*:${local.alias}"], sort(var.others)) :
        "${var.deployment.arns.lambda}function:${function}"
      ]
    }]
  })
}

resource "aws_scheduler_schedule" "this" {
  # checkov:skip=CKV_AWS_297:it contains only the name of a function
  for_each = local.called

  name                = each.key
  group_name          = "default" # which every account has
  description         = "Keeps the function ${each.key} active"
  schedule_expression = "rate(7 days)"

  # So that a fleet of models does not start all at once.
  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 1440
  }

  target {
    arn      = "${var.deployment.arns.lambda}function:${each.value}"
    role_arn = "${var.deployment.arns.iam}role/${local.role_name}"
    input    = jsonencode({ keep_active = true }) # which both handlers answer at once
  }

  # EventBridge Scheduler assumes the role before it accepts a schedule.
  depends_on = [aws_iam_role_policy.this]
}
