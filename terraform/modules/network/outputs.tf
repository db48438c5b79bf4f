output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Private subnets, each in another availability zone."
  value       = aws_subnet.private[*].id
}

output "security_group_id" {
  description = "The security group of the functions; with its way to S3."
  value       = aws_security_group.functions.id
}
