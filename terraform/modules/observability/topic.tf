# The topic that alarms notify. People on call subscribe to it.

resource "aws_sns_topic" "alarms" {
  count = var.topic_arn == null ? 1 : 0

  name              = local.topic_name
  kms_master_key_id = aws_kms_key.alarms[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.deployment.account_id } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# With SNS's own key (alias/aws/sns), no alarm arrives: its policy, which cannot be changed, does not allow CloudWatch.
resource "aws_kms_key" "alarms" {
  count = var.topic_arn == null ? 1 : 0

  description             = "Alarms of ${var.deployment.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # The account's own policies decide, as for a key without an explicit policy.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "${var.deployment.arns.iam}root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.deployment.account_id } }
      },
    ]
  })

  tags = { Name = local.topic_name }
}

locals {
  topic_name = "${var.deployment.name}-alarms"
  topic_arn  = "${var.deployment.arns.sns}${local.topic_name}"
}
