output "function_name" {
  description = "Name of the function, known once it can be called."
  value       = var.name
  depends_on  = [aws_lambda_function.this]

  precondition {
    condition     = length(local._differences) == 0
    error_message = <<-EOT
      ${var.name} is not what was planned. Differences: ${join(", ", local._differences)}.
      An earlier update of the function was refused or interrupted, and the provider no longer knows about the rest of it. To recreate the function, which keeps all inputs, results and weights, run:
        terraform apply -replace=module.weights_sync.aws_lambda_function.this
    EOT
  }
}

output "role_arn" {
  description = "ARN of the function's role, known once the role has its permissions."
  value       = module.role.arn
}
