output "topic_arn" {
  description = "ARN of the topic that alarms notify, known once it exists."
  value       = var.topic_arn != null ? var.topic_arn : local.topic_arn
  depends_on  = [aws_sns_topic.alarms]
}
