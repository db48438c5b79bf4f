# The file system with the models' weights. Access to it is defined in three places that must agree: the access points
# (which folder, as which user), the roles of the functions, and the policy here, which only denies.

locals {
  # POSIX users and their groups. A reader may read what the writer creates, but not change it.
  writer = 10000
  reader = 10001
}

resource "aws_efs_file_system" "weights" {
  # checkov:skip=CKV_AWS_184:encrypted with the key that AWS manages: a customer-managed key would need grants for every function
  creation_token = "${var.deployment.name}-weights"
  encrypted      = true
  # Bursting throughput depends on the amount stored, which is too little for a small file system.
  throughput_mode = "elastic"

  tags = { Name = "${var.deployment.name}-weights" }
}

resource "aws_efs_mount_target" "weights" {
  count = length(var.network.subnet_ids)

  file_system_id  = aws_efs_file_system.weights.id
  subnet_id       = var.network.subnet_ids[count.index]
  security_groups = [aws_security_group.mount_targets.id]

  lifecycle {
    # Subnets in another order are the same subnets. The output file_system refuses other ones.
    ignore_changes = [subnet_id]
  }
}

resource "aws_security_group" "mount_targets" {
  name        = "${var.deployment.name}-weights"
  description = "Mount targets of ${var.deployment.name}: NFS from its functions, nothing else"
  vpc_id      = var.network.vpc_id

  tags = { Name = "${var.deployment.name}-weights" }
}

resource "aws_vpc_security_group_ingress_rule" "nfs" {
  security_group_id            = aws_security_group.mount_targets.id
  description                  = "NFS from the functions"
  referenced_security_group_id = var.network.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_egress_rule" "nfs" {
  security_group_id            = var.network.security_group_id
  description                  = "NFS to the mount targets"
  referenced_security_group_id = aws_security_group.mount_targets.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

# The root of a file system belongs to root: without its own access point, weights_sync could not create folders.
resource "aws_efs_access_point" "writer" {
  file_system_id = aws_efs_file_system.weights.id

  posix_user {
    uid = local.writer
    gid = local.writer
  }

  root_directory {
    path = "/models"

    creation_info {
      owner_uid   = local.writer
      owner_gid   = local.writer
      permissions = "0755"
    }
  }

  tags = { Name = "${var.deployment.name}-weights-writer" }
}

# Its size does not depend on the number of models: a policy has at most 20,000 characters.
resource "aws_efs_file_system_policy" "weights" {
  file_system_id = aws_efs_file_system.weights.id
  policy = jsonencode({
    Version = "2012-10-17"
    Id      = "${var.deployment.name}-weights"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.weights.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "AccessPointsOnly"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource  = aws_efs_file_system.weights.arn
        Condition = { Null = { "elasticfilesystem:AccessPointArn" = "true" } }
      },
      {
        Sid       = "OneWriter"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "elasticfilesystem:ClientWrite"
        Resource  = aws_efs_file_system.weights.arn
        Condition = {
          ArnNotEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.writer.arn }
        }
      },
      {
        Sid       = "NoRoot"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "elasticfilesystem:ClientRootAccess"
        Resource  = aws_efs_file_system.weights.arn
      },
    ]
  })
}
