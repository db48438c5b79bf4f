output "function_name" {
  description = "Name of the function, once it can be called."
  value       = var.name
  depends_on  = [aws_lambda_function.this]
}
