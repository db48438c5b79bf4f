output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Private subnets, each in another availability zone."
  value       = aws_subnet.private[*].id

  precondition {
    condition     = length(distinct(aws_subnet.private[*].availability_zone)) == length(aws_subnet.private)
    error_message = "The region ${var.deployment.region} offers this account only one zone (${join(", ", local.zones)}), but the weights need mount targets in two zones: choose another region, or set the variable network to a network with subnets in two zones."
  }
}

output "security_group_id" {
  description = "The security group of the functions, known once it allows S3."
  value       = aws_security_group.functions.id
  depends_on  = [aws_vpc_endpoint.s3, aws_route_table_association.private, aws_vpc_security_group_egress_rule.s3]
}
