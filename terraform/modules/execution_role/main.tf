# The role of one function: what Lambda requires for a function with a network, logs and a mount, and what the function's own
# work needs. Without logs:CreateLogGroup, so that a destroyed log group does not come back, and always without s3:ListBucket.

resource "aws_iam_role" "this" {
  name = var.name
  tags = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

locals {
  policy_name = "function"
  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
  policy_characters = 10240

  statements = concat(
    [
      {
        # Lambda refuses a function in a network if its role cannot do this for all interfaces.
        Sid    = "Network"
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
          "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "*"
      },
      {
        # Only Lambda itself needs this. The key is present if the code of a function makes the request, whichever function.
        Sid       = "NoNetworkForCode"
        Effect    = "Deny"
        Action    = "ec2:*"
        Resource  = "*"
        Condition = { Null = { "lambda:SourceFunctionArn" = "false" } }
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${var.deployment.arns.logs}log-group:${var.log_group}:*"
      },
      {
        Sid       = "Weights"
        Effect    = "Allow"
        Action    = var.mount.write ? ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"] : ["elasticfilesystem:ClientMount"]
        Resource  = var.mount.file_system_arn
        Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = var.mount.access_point_arn } }
      },
    ],
    [
      for sid, statement in var.statements : {
        Sid      = sid
        Effect   = "Allow"
        Action   = statement.actions
        Resource = statement.resources
      }
    ],
  )

  # The role's permissions before this apply, as the provider reads them from AWS with the role: the only place that still
  # knows what a changed registry has removed.
  policies_before = var.kept == null ? [] : aws_iam_role.this.inline_policy
  statements_before = { for statement in flatten([
    for policy in local.policies_before : jsondecode(policy.policy).Statement if policy.name == local.policy_name
  ]) : statement.Sid => statement if can(statement.Sid) }

  # What this apply removes from the statement or, if it removes nothing, what the last change removed (from the current
  # policy), so that the next plan is empty.
  kept_sid = try("Previous${var.kept.sid}", "")
  removed = setsubtract(
    try(flatten([local.statements_before[var.kept.sid].Resource]), []),
    try(var.statements[var.kept.sid].resources, []),
  )
  kept = concat(
    [
      for resources in [tolist(local.removed)] : {
        Sid       = local.kept_sid
        Effect    = "Allow"
        Action    = var.statements[var.kept.sid].actions
        Resource  = resources
        Condition = { DateLessThan = { "aws:CurrentTime" = timeadd(plantimestamp(), "${24 * var.kept.days}h") } }
      } if length(resources) > 0
    ],
    [for sid, statement in local.statements_before : statement if sid == local.kept_sid && length(local.removed) == 0],
  )

  # The second one is used if the first would be longer than IAM allows.
  policies = [for kept in [local.kept, []] : jsonencode({ Version = "2012-10-17", Statement = concat(local.statements, kept) })]
}

resource "aws_iam_role_policy" "this" {
  name   = local.policy_name
  role   = aws_iam_role.this.name
  policy = length(local.policies[0]) > local.policy_characters ? local.policies[1] : local.policies[0]
}
