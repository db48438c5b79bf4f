# From an upload to the queue of its model. The queues are created here and not with the models, because S3 accepts a
# notification only for existing queues, and Terraform can wait for all of a module or for none of it. So a model whose
# weights cannot be published does not keep inputs from the queues of other models.

locals {
  # Built from names, not references, so that their readers wait only for resources that they refer to themselves.
  queue_arns = { for name, model in var.models : name => "${var.deployment.arns.sqs}${model.queue}" }

  # S3 has no "or": each prefix with each suffix is a separate configuration.
  configurations = flatten([
    for name, model in var.models : [
      for index, filter in setproduct(model.prefixes, length(model.suffixes) > 0 ? model.suffixes : [null]) : {
        # Numbered within the model, so that a change of its routes does not affect other models' routes.
        id     = "${name}-${index}"
        model  = name
        prefix = filter[0]
        suffix = filter[1]
      }
    ]
  ])

  # How S3 announces an upload (var.event_way): by the notification of the bucket, through EventBridge, or both ways.
  ways = var.event_way == "both" ? ["notification", "eventbridge"] : [var.event_way]
  # The models that a rule of EventBridge sends to.
  ruled = contains(local.ways, "eventbridge") ? var.models : {}
}

module "queue" {
  source   = "../queue"
  for_each = var.models

  deployment           = var.deployment
  name                 = each.value.queue
  dead_letter_name     = each.value.dead_letter_queue
  inputs_bucket        = contains(local.ways, "notification") ? var.inputs_bucket : null
  event_rule           = contains(local.ways, "eventbridge") ? each.value.queue : null
  visibility_timeout_s = each.value.visibility_timeout_s
  retries              = each.value.retries
  tags                 = each.value.tags
}

# One rule per model. It contains only prefixes: the values of a pattern are alternatives, so it cannot require both a prefix
# and a suffix. The function skips keys with other suffixes (functions/inference/batch/messages.py).
resource "aws_cloudwatch_event_rule" "inputs" {
  for_each = local.ruled

  name        = each.value.queue
  description = "Uploads for the model ${each.key}"
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.inputs_bucket] }
      object = { key = [for prefix in each.value.prefixes : { prefix = prefix }] }
    }
  })
  tags = each.value.tags
}

resource "aws_cloudwatch_event_target" "inputs" {
  for_each = local.ruled

  rule      = aws_cloudwatch_event_rule.inputs[each.key].name
  target_id = "queue"
  arn       = local.queue_arns[each.key]

  # EventBridge does not retry events that the queue's policy refuses.
  depends_on = [module.queue]
}

# A bucket has one notification resource: a second one would overwrite the first. It also switches EventBridge on and off,
# in the same call.
resource "aws_s3_bucket_notification" "inputs" {
  bucket      = var.inputs_bucket
  eventbridge = contains(local.ways, "eventbridge")

  dynamic "queue" {
    for_each = contains(local.ways, "notification") ? local.configurations : []

    content {
      id            = queue.value.id
      queue_arn     = local.queue_arns[queue.value.model]
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value.prefix
      filter_suffix = queue.value.suffix
    }
  }

  # S3 checks the queues and their policies when the notification is set, and rules that do not exist yet would miss events.
  depends_on = [module.queue, aws_cloudwatch_event_target.inputs]
}
