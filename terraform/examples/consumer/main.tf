# One consumer of results: an EventBridge rule that sends an event for each final result to the consumer's own queue, and a
# policy for receiving from that queue. It needs a platform that was applied with announce_results = true, and has its own
# state. Apply it once per consumer:
#
#   terraform init && terraform apply -var consumer=billing -var 'models=["digits"]' \
#     -var results_bucket="$(terraform -chdir=../.. output -raw results_bucket)"
#
# Four things to know:
#
# - An event names the result's bucket, key, size and ETag. It does not say whether the result has predictions or an error:
#   read the result to find out. The key is the result's key, not encoded.
# - A provisional result is not announced. Only provisional results are written as multipart uploads, so the rule requires
#   the reason PutObject.
# - Another upload under the same key gets another result, and so another event. EventBridge delivers each event at least
#   once, in any order: skip an event whose ETag is not that of the result that you read.
# - S3 takes about five minutes to start announcing results after the platform was applied.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "consumer" {
  description = "Name of the consumer. The names of the rule, both queues and the policy are made from it and the name of the deployment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.consumer))
    error_message = "consumer must consist of 1 to 32 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "results_bucket" {
  description = "The platform's output of that name."
  type        = string
  nullable    = false
}

variable "models" {
  description = "Models whose results the consumer receives; if empty, all models. A rule has room for about 60."
  type        = set(string)
  default     = []
  nullable    = false
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  here      = "${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"

  # The bucket's name begins with the name of the deployment, which has no hyphen.
  name      = "${split("-", var.results_bucket)[0]}-results-${var.consumer}"
  queue_arn = "arn:${local.partition}:sqs:${local.here}:${local.name}"
  prefixes  = [for model in sort(var.models) : "${model}/"]
}

resource "aws_cloudwatch_event_rule" "results" {
  name        = local.name
  description = "Final results for ${var.consumer}"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = merge(
      { bucket = { name = [var.results_bucket] }, reason = ["PutObject"] },
      length(var.models) == 0 ? {} : { object = { key = [for prefix in local.prefixes : { prefix = prefix }] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule      = aws_cloudwatch_event_rule.results.name
  target_id = "queue"
  arn       = aws_sqs_queue.results.arn
}

# Encrypted with SQS's own key: with a KMS key, EventBridge could not send without a policy on the key.
resource "aws_sqs_queue" "results" {
  name                      = local.name
  message_retention_seconds = 4 * 24 * 3600
  sqs_managed_sse_enabled   = true
  redrive_policy            = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 5 })

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Rule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = local.queue_arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.results.arn } }
    }]
  })
}

# Events that the consumer received five times without deleting them.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${local.name}-dead-letters"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
  redrive_allow_policy      = jsonencode({ redrivePermission = "byQueue", sourceQueueArns = [local.queue_arn] })
}

output "queue_url" {
  description = "Receive events from this queue, and delete each one that you have handled."
  value       = aws_sqs_queue.results.url
}

output "consumer_policy" {
  description = "An IAM policy (JSON) to attach to the consumer: it receives events and reads the results that they name, and nothing else."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Events"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
        Resource = local.queue_arn
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for prefix in length(var.models) == 0 ? [""] : local.prefixes : "arn:${local.partition}:s3:::${var.results_bucket}/${prefix}*"]
      },
    ]
  })
}
