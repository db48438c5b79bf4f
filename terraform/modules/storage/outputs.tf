output "file_system" {
  description = "The file system's id and ARN, the access point through which weights are written, and the POSIX users that write and read them."
  value = {
    id  = aws_efs_file_system.weights.id
    arn = aws_efs_file_system.weights.arn

    writer_access_point_arn = aws_efs_access_point.writer.arn
    writer                  = local.writer
    reader                  = local.reader
  }
}

output "mount_targets" {
  description = "Subnets in which the file system can be mounted; known once it can be."
  value       = aws_efs_mount_target.weights[*].subnet_id

  depends_on = [
    aws_efs_file_system_policy.weights,
    aws_vpc_security_group_ingress_rule.nfs,
    aws_vpc_security_group_egress_rule.nfs,
  ]

  precondition {
    condition     = toset(aws_efs_mount_target.weights[*].subnet_id) == toset(var.network.subnet_ids)
    error_message = "The weights' mount targets are in ${join(", ", aws_efs_mount_target.weights[*].subnet_id)}, in this order, and cannot move to ${join(", ", var.network.subnet_ids)}: append new subnets to network.subnet_ids, each in another zone, and remove subnets only from its end."
  }
}
