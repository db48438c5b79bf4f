# Who may do what with the weights, and which ways there are in the network.

mock_provider "aws" {
  mock_resource "aws_efs_file_system" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1" }
  }
  mock_resource "aws_efs_access_point" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-00000000000000001" }
  }
  # What apply calls is what the runs below ask for.
  mock_data "aws_lambda_function" {
    defaults = {
      code_sha256 = "c1="
      environment = [{ variables = { MODELYARD_ARTIFACTS = "yard-artifacts", MODELYARD_WEIGHTS = "/mnt/models" } }]
    }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1c", "eu-central-1a", "eu-central-1b"] }
  }
}

variables {
  deployment = { name = "yard", region = "eu-central-1", account_id = "123456789012", arns = { iam = "arn:aws:iam::123456789012:", logs = "arn:aws:logs:eu-central-1:123456789012:", s3 = "arn:aws:s3:::" } }
}

run "the_file_system_denies_what_nobody_may_do" {
  module {
    source = "./modules/storage"
  }

  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  }

  assert {
    condition = { for statement in jsondecode(aws_efs_file_system_policy.weights.policy).Statement : statement.Sid => [statement.Action, try(statement.Condition, null)] if statement.Effect == "Deny" } == {
      TlsOnly          = ["*", { Bool = { "aws:SecureTransport" = "false" } }]
      AccessPointsOnly = [["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"], { Null = { "elasticfilesystem:AccessPointArn" = "true" } }]
      OneWriter        = ["elasticfilesystem:ClientWrite", { ArnNotEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.writer.arn } }]
      NoRoot           = ["elasticfilesystem:ClientRootAccess", null]
    }
    error_message = "The policy is ${aws_efs_file_system_policy.weights.policy}."
  }
  assert {
    condition     = length([for statement in jsondecode(aws_efs_file_system_policy.weights.policy).Statement : statement if statement.Effect != "Deny"]) == 0
    error_message = "The policy of the file system only denies; what is allowed stands in the roles."
  }
  assert {
    condition = (
      aws_efs_access_point.writer.root_directory[0].path == "/models" &&
      aws_efs_access_point.writer.posix_user[0].uid == 10000 && aws_efs_access_point.writer.posix_user[0].gid == 10000
    )
    error_message = "The writer's access point is /models, as user 10000."
  }
  assert {
    condition     = aws_efs_file_system.weights.encrypted && aws_efs_file_system.weights.throughput_mode == "elastic"
    error_message = "The file system must be encrypted, and its throughput elastic."
  }
  assert {
    condition     = toset(aws_efs_mount_target.weights[*].subnet_id) == toset(["subnet-1", "subnet-2"])
    error_message = "Every subnet of the functions needs a mount target."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.nfs.referenced_security_group_id == "sg-1" &&
      aws_vpc_security_group_ingress_rule.nfs.from_port == 2049 && aws_vpc_security_group_ingress_rule.nfs.to_port == 2049
    )
    error_message = "Only the functions reach the mount targets, and only by NFS."
  }
}

run "only_weights_sync_writes" {
  module {
    source = "./modules/weights_sync"
  }

  variables {
    name             = "yard--weights-sync"
    artifacts_bucket = "yard-artifacts"
    file_system = {
      arn                     = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
      writer_access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1"
    }
    network            = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    mount_targets      = ["subnet-1", "subnet-2"]
    package            = { lambda_runtime = "python3.13", s3_bucket = "yard-artifacts", s3_key = "code/weights_sync-1.zip", code_sha256 = "c1=" }
    log_retention_days = 30
  }

  assert {
    condition     = [for statement in jsondecode(module.role.policy).Statement : statement.Action if statement.Sid == "Weights"] == [["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]]
    error_message = "The role may do ${module.role.policy}."
  }
  assert {
    condition     = [for statement in jsondecode(module.role.policy).Statement : [statement.Action, statement.Resource] if statement.Sid == "Artifacts"] == [[["s3:GetObject"], ["arn:aws:s3:::yard-artifacts/models/*"]]]
    error_message = "The role may do ${module.role.policy}."
  }
  assert {
    condition     = aws_lambda_function.this.s3_key == "code/weights_sync-1.zip" && aws_lambda_function.this.filename == null
    error_message = "The function's code must come from S3."
  }
}

run "a_weights_sync_with_other_code_is_not_called" {
  command = plan

  module {
    source = "./modules/weights_sync"
  }

  variables {
    name             = "yard--weights-sync"
    artifacts_bucket = "yard-artifacts"
    file_system = {
      arn                     = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
      writer_access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1"
    }
    network            = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    mount_targets      = ["subnet-1", "subnet-2"]
    package            = { lambda_runtime = "python3.13", s3_bucket = "yard-artifacts", s3_key = "code/weights_sync-1.zip", code_sha256 = "c2=" }
    log_retention_days = 30
  }

  expect_failures = [output.function_name]
}

run "the_network_leads_to_the_buckets_and_nowhere_else" {
  module {
    source = "./modules/network"
  }

  variables {
    buckets  = { inputs = "arn:aws:s3:::yard-inputs", results = "arn:aws:s3:::yard-results", artifacts = "arn:aws:s3:::yard-artifacts" }
    role_arn = "arn:aws:iam::123456789012:role/yard--weights-sync"
  }

  assert {
    condition     = toset(aws_subnet.private[*].availability_zone) == toset(["eu-central-1a", "eu-central-1b"])
    error_message = "The subnets lie in ${join(", ", aws_subnet.private[*].availability_zone)}."
  }
  assert {
    condition     = length(aws_route_table.private.route) == 0
    error_message = "The only route is that of the S3 endpoint, which makes it itself."
  }
  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The default security group must be empty."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-central-1.s3"
    error_message = "S3 is reached through its gateway endpoint."
  }
  assert {
    condition = { for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : statement.Sid => [statement.Effect, statement.Action, statement.Resource] } == {
      Read    = ["Allow", ["s3:GetObject", "s3:GetObjectVersion"], ["arn:aws:s3:::yard-artifacts/*", "arn:aws:s3:::yard-inputs/*", "arn:aws:s3:::yard-results/*"]]
      Write   = ["Allow", "s3:PutObject", "arn:aws:s3:::yard-results/*"]
      Missing = ["Allow", ["s3:ListBucket", "s3:ListBucketVersions"], "arn:aws:s3:::yard-inputs"]
    }
    error_message = "The endpoint lets through ${aws_vpc_endpoint.s3.policy}."
  }
}
