output "alias" {
  description = "Alias that inputs and direct calls go to."
  value       = local.alias
}

output "log_group" {
  description = "Log group of the function."
  value       = local.log_group
}

output "uploader_policy" {
  description = "An IAM policy, as JSON, for people and programs that upload inputs of the model and read their results."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Inputs"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = local.inputs # so an upload that nobody would serve fails at once
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = local.results
      },
    ]
  })
}

output "alarms" {
  description = "The names of its alarms."
  value       = [for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.input_error_share) : alarm.alarm_name]
}
