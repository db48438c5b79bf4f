# The queue of one model's inputs, which the inputs bucket or an EventBridge rule may send to, and its dead-letter queue.

locals {
  arn             = "${var.deployment.arns.sqs}${var.name}"
  dead_letter_arn = "${var.deployment.arns.sqs}${var.dead_letter_name}"
}

# Policies are inline: as a separate resource, each would take the provider another 25 s.
resource "aws_sqs_queue" "dead_letters" {
  name                      = var.dead_letter_name
  message_retention_seconds = 14 * 24 * 3600 # the maximum; it counts from when a message was first sent
  sqs_managed_sse_enabled   = true
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.arn]
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
    deadLetterTargetArn = local.dead_letter_arn
    maxReceiveCount     = var.retries
  })
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for bucket in var.inputs_bucket[*] : {
        Sid       = "InputsBucket"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = "${var.deployment.arns.s3}${bucket}" }
          StringEquals = { "aws:SourceAccount" = var.deployment.account_id }
        }
      }],
      # The ARN of a rule names the account.
      [for rule in var.event_rule[*] : {
        Sid       = "EventRule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.arn
        Condition = { ArnEquals = { "aws:SourceArn" = "${var.deployment.arns.events}rule/${rule}" } }
      }],
    )
  })
  tags = var.tags

  # SQS refuses a dead-letter queue that does not exist yet.
  depends_on = [aws_sqs_queue.dead_letters]
}
