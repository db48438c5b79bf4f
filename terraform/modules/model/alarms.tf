# The alarms of a model, each with the command to run next. Thresholds come from the registry; null means that the model
# does not have that alarm. The names of metrics and dimensions must be those of AWS and functions/inference/metrics.py:
# CloudWatch accepts any name, but with a wrong one, an alarm never fires.

locals {
  _within_five_minutes = { statistic = "Sum", period = 300 }
  _at_any_minute       = { statistic = "Maximum", period = 60 }

  _alarms = {
    dead_letters = merge(local._at_any_minute, {
      says       = "inputs were given up and are in ${var.model.names.dead_letter_queue}"
      next       = "modelctl dead ${var.name}"
      metric     = "AWS/SQS ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = var.model.names.dead_letter_queue }
    })
    queue_age_s = merge(local._at_any_minute, {
      says       = "inputs have waited too long in ${var.model.names.queue}"
      next       = "modelctl status --since 1h"
      metric     = "AWS/SQS ApproximateAgeOfOldestMessage"
      dimensions = { QueueName = var.model.names.queue }
    })
    errors = merge(local._within_five_minutes, {
      says       = "calls of the function fail: it crashes, or runs out of memory or time"
      next       = "modelctl logs ${var.name} --errors"
      metric     = "AWS/Lambda Errors"
      dimensions = { FunctionName = local.function_name }
    })
    throttles = merge(local._within_five_minutes, {
      says       = "calls are throttled: the account or concurrency.reserved allows no more at once"
      next       = "modelctl status --since 1h"
      metric     = "AWS/Lambda Throttles"
      dimensions = { FunctionName = local.function_name }
    })
    input_errors = merge(local._within_five_minutes, {
      says       = "inputs cannot be served; their results say why"
      next       = "modelctl errors ${var.name}"
      metric     = "Modelyard InputErrors"
      dimensions = var.model.names.metric_dimensions
    })
  }

  # A slash, so that no two alarms can have the same name: the names of models contain hyphens.
  _alarm_name = "${local.function_name}/"

  _cleared = var.notify_cleared_alarms ? [var.alarm_topic_arn] : []
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = { for alarm, threshold in var.model.alarms : alarm => threshold if threshold != null && alarm != "input_error_share" }

  alarm_name        = "${local._alarm_name}${each.key}"
  alarm_description = "Model ${var.name}: ${local._alarms[each.key].says}. Next: `${local._alarms[each.key].next}`."

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
  ok_actions    = local._cleared

  tags = var.model.tags

  # CloudWatch does not delete an alarm that a composite one names (modules/observability/overall.tf), so that one changes first.
  lifecycle {
    create_before_destroy = true
  }
}

# InputErrors has one value per input, 0 or 1, so its average is the share of refused inputs. With fewer than five inputs,
# the share counts as 0; an hour without inputs has no data.
resource "aws_cloudwatch_metric_alarm" "input_error_share" {
  count = var.model.alarms.input_error_share == null ? 0 : 1

  alarm_name        = "${local._alarm_name}input_error_share"
  alarm_description = "Model ${var.name}: too large a share of the past hour's inputs (at least five) cannot be served; their results say why. Next: `${local._alarms.input_errors.next}`."

  dynamic "metric_query" {
    for_each = { inputs = "SampleCount", share = "Average" }

    content {
      id = metric_query.key

      metric {
        namespace   = "Modelyard"
        metric_name = "InputErrors"
        dimensions  = var.model.names.metric_dimensions
        stat        = metric_query.value
        period      = 3600
      }
    }
  }

  metric_query {
    id          = "share_of_enough"
    label       = "Share of refused inputs, of at least five"
    expression  = "IF(inputs >= 5, share, 0)"
    return_data = true
  }

  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.model.alarms.input_error_share
  treat_missing_data  = "notBreaching"

  alarm_actions = [var.alarm_topic_arn]
  ok_actions    = local._cleared

  tags = var.model.tags

  lifecycle {
    create_before_destroy = true
  }
}
