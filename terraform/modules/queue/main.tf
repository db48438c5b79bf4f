# The queue of one model's inputs, which the inputs bucket may send to, and its dead-letter queue.

locals {
  arn_prefix = "arn:${var.deployment.partition}:sqs:${var.deployment.region}:${var.deployment.account_id}"
}

# Policies stand inline: as a resource of its own, each takes the provider another 25 s.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dlq"
  message_retention_seconds = 14 * 24 * 3600 # the longest there is; it counts from the first sending
  sqs_managed_sse_enabled   = true
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["${local.arn_prefix}:${var.name}"]
  })
  tags = var.tags
}

resource "aws_sqs_queue" "inputs" {
  name                       = var.name
  message_retention_seconds  = 4 * 24 * 3600
  visibility_timeout_seconds = var.visibility_timeout_s
  # With a KMS key, S3 could not send without a policy on the key.
  sqs_managed_sse_enabled = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = "${local.arn_prefix}:${var.name}-dlq"
    maxReceiveCount     = var.retries
  })
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "InputsBucket"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "${local.arn_prefix}:${var.name}"
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:${var.deployment.partition}:s3:::${var.inputs_bucket}" }
        StringEquals = { "aws:SourceAccount" = var.deployment.account_id }
      }
    }]
  })
  tags = var.tags

  # SQS refuses a dead-letter queue that is not there yet.
  depends_on = [aws_sqs_queue.dead_letters]
}
