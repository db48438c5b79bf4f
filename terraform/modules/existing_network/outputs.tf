output "vpc_id" {
  description = "The network."
  value       = var.network.vpc_id
}

output "subnet_ids" {
  description = "Private subnets, each in another availability zone."
  value       = var.network.subnet_ids

  precondition {
    condition     = length(local.problems) == 0
    error_message = join("\n", concat(["The network cannot be used:"], [for problem in local.problems : "  ${problem}"]))
  }
}

output "security_group_id" {
  description = "The security group of the functions."
  value       = var.network.security_group_id
}
