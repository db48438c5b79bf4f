# What calls somebody to the model. Thresholds come from the registry; null means no such alarm. Names of queues, function
# and metrics are AWS's and functions/inference/metrics.py's: CloudWatch takes any name, and a wrong one never alarms.

locals {
  _within_five_minutes = { statistic = "Sum", period = 300 }
  _at_any_minute       = { statistic = "Maximum", period = 60 }

  _alarms = {
    dead_letters = merge(local._at_any_minute, {
      says       = "inputs were given up and are in ${var.model.names.dead_letter_queue}"
      metric     = "AWS/SQS ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = var.model.names.dead_letter_queue }
    })
    queue_age_s = merge(local._at_any_minute, {
      says       = "inputs wait for too many seconds in ${var.model.names.queue}"
      metric     = "AWS/SQS ApproximateAgeOfOldestMessage"
      dimensions = { QueueName = var.model.names.queue }
    })
    errors = merge(local._within_five_minutes, {
      says       = "calls of the function fail: it crashes, or runs out of memory or time"
      metric     = "AWS/Lambda Errors"
      dimensions = { FunctionName = local.function_name }
    })
    throttles = merge(local._within_five_minutes, {
      says       = "calls are turned away: the account or concurrency.reserved allows no more at once"
      metric     = "AWS/Lambda Throttles"
      dimensions = { FunctionName = local.function_name }
    })
    input_errors = merge(local._within_five_minutes, {
      says       = "inputs cannot be served; their results say why"
      metric     = "Modelyard InputErrors"
      dimensions = var.model.names.metric_dimensions
    })
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = { for alarm, threshold in var.model.alarms : alarm => threshold if threshold != null }

  # A slash, so that no two names make the same one: models have hyphens in theirs.
  alarm_name        = "${local.function_name}/${each.key}"
  alarm_description = "Model ${var.name}: ${local._alarms[each.key].says}. `modelctl status` and `modelctl logs ${var.name}` tell more."

  namespace           = split(" ", local._alarms[each.key].metric)[0]
  metric_name         = split(" ", local._alarms[each.key].metric)[1]
  dimensions          = local._alarms[each.key].dimensions
  statistic           = local._alarms[each.key].statistic
  period              = local._alarms[each.key].period
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value
  # A quiet model sends no metrics.
  treat_missing_data = "notBreaching"

  alarm_actions = [var.alarm_topic_arn]
  ok_actions    = [var.alarm_topic_arn]

  tags = var.model.tags
}
