output "arn" {
  description = "ARN of the role, once it may do what it is for."
  value       = "arn:${var.deployment.partition}:iam::${var.deployment.account_id}:role/${var.name}"
  depends_on  = [aws_iam_role_policy.this]
}

output "policy" {
  description = "What the role may do, as JSON."
  value       = aws_iam_role_policy.this.policy
}
