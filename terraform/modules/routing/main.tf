# From an upload to the queue of the model that takes it. The queues are made here and not with the models, because
# S3 accepts a notification only for queues that exist, and Terraform can wait for all of a module or for none of it: so
# a model whose weights cannot be published keeps no other model's inputs from their queue.

locals {
  # Built from names, not references, so that what reads them waits only for the resources that it refers to itself.
  queue_arns = { for name, model in var.models : name => "${var.deployment.arns.sqs}${model.queue}" }

  # S3 has no "or": each prefix with each suffix is a configuration of its own.
  configurations = flatten([
    for name, model in var.models : [
      for index, filter in setproduct(model.prefixes, length(model.suffixes) > 0 ? model.suffixes : [null]) : {
        # Numbered within the model, so that another model's routes stay as they are when this one's change.
        id     = "${name}-${index}"
        model  = name
        prefix = filter[0]
        suffix = filter[1]
      }
    ]
  ])
}

module "queue" {
  source   = "../queue"
  for_each = var.models

  deployment           = var.deployment
  name                 = each.value.queue
  dead_letter_name     = each.value.dead_letter_queue
  inputs_bucket        = var.inputs_bucket
  visibility_timeout_s = each.value.visibility_timeout_s
  retries              = each.value.retries
  tags                 = each.value.tags
}

# A bucket has one notification resource: a second one would overwrite the first.
resource "aws_s3_bucket_notification" "inputs" {
  bucket = var.inputs_bucket

  dynamic "queue" {
    for_each = local.configurations

    content {
      id            = queue.value.id
      queue_arn     = local.queue_arns[queue.value.model]
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value.prefix
      filter_suffix = queue.value.suffix
    }
  }

  # S3 tries the queues, and their policies, when the notification is set.
  depends_on = [module.queue]
}
