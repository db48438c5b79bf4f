# The role of one function: what Lambda itself requires of a function in a network that logs and mounts, and what the
# function's own work needs. Without logs:CreateLogGroup, so that a destroyed log group does not come back; without
# s3:ListBucket for anybody.

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

resource "aws_iam_role_policy" "this" {
  name = "function"
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # Lambda refuses a function in a network whose role cannot do this for every interface.
          Sid    = "Network"
          Effect = "Allow"
          Action = [
            "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
          ]
          Resource = "*"
        },
        {
          # Only Lambda itself needs it: the key is there when the function's own code calls, whichever function it is.
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
  })
}
