output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.inputs.url
}

output "dead_letter_url" {
  description = "URL of the dead-letter queue."
  value       = aws_sqs_queue.dead_letters.url
}
