output "arn" {
  description = "ARN of the role, once it may do what it is for."
  value       = "${var.deployment.arns.iam}role/${var.name}"
  depends_on  = [aws_iam_role_policy.this]
}

output "policy" {
  description = "What the role may do, as JSON."
  value       = aws_iam_role_policy.this.policy
}
