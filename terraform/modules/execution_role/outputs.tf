output "arn" {
  description = "ARN of the role, known once it has its permissions."
  value       = "${var.deployment.arns.iam}role/${var.name}"
  depends_on  = [aws_iam_role_policy.this]
}

output "policy" {
  description = "What the role may do, as JSON."
  value       = aws_iam_role_policy.this.policy
}
