output "queue_arns" {
  description = "ARN of each model's queue, known once all queues exist."
  value       = local.queue_arns
  depends_on  = [module.queue]
}

output "queue_urls" {
  description = "URL of each model's queue."
  value       = { for name in keys(var.models) : name => module.queue[name].url }
}

output "dead_letter_queue_urls" {
  description = "URL of each model's dead-letter queue."
  value       = { for name in keys(var.models) : name => module.queue[name].dead_letter_url }
}
