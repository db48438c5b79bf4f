# Policies for people who use the deployment but must not change it. The module model has the policies for uploaders
# (modules/model/outputs.tf). The names of all resources begin with the deployment's, which has no hyphen, so a policy for
# "<name>-*" covers no other deployment, and is as short for 300 models as for one. Consumers of results may have queues
# with such names (examples/consumer); the deployment's own queues are identified by their tag.

locals {
  _everything_of = {
    sqs    = "${local.deployment.arns.sqs}${var.name}-*"
    lambda = "${local.deployment.arns.lambda}function:${var.name}-*"
    logs   = "${local.deployment.arns.logs}log-group:/aws/lambda/${var.name}-*"
  }

  _tagged = { StringEquals = { "aws:ResourceTag/Modelyard" = var.name } }

  # Queues of inputs whose names end like those of dead-letter queues, because their models' names do.
  _like_dead_letters = [for model in local.models : "${local.deployment.arns.sqs}${model.names.queue}" if endswith(model.names.queue, "-dlq")]

  invoker_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Call"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = "${local._everything_of.lambda}:live"
      },
    ]
  })

  operator_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "Queues"
        Effect    = "Allow"
        Action    = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
        Resource  = local._everything_of.sqs
        Condition = local._tagged
      },
      {
        Sid       = "DeadLetters"
        Effect    = "Allow"
        Action    = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"]
        Resource  = "${local._everything_of.sqs}-dlq"
        Condition = local._tagged
      },
      {
        Sid      = "Functions"
        Effect   = "Allow"
        Action   = ["lambda:GetFunction", "lambda:GetFunctionConfiguration"]
        Resource = local._everything_of.lambda
      },
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents"]
        Resource = local._everything_of.logs
      },
      {
        Sid      = "Metrics"
        Effect   = "Allow"
        Action   = ["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"]
        Resource = "*"
      },
      {
        Sid      = "ListInputs"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketNotification"]
        Resource = local.bucket_arns.inputs
      },
      {
        Sid      = "ListResults"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = local.bucket_arns.results
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "${local.bucket_arns.results}/*"
      },
      ], [
      for queues in [local._like_dead_letters] : {
        Sid      = "NoInputs"
        Effect   = "Deny"
        Action   = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"]
        Resource = queues
      } if length(queues) > 0
      ], [
      # No pattern leaves out a queue of inputs with such a name.
      for dead_letters in ["${local._everything_of.sqs}-dlq"] : {
        Sid      = "NoDeadLetters"
        Effect   = "Deny"
        Action   = ["sqs:SendMessage"]
        Resource = dead_letters
      } if length(local._like_dead_letters) == 0
    ])
  })
}
