# The policies for applying, changing and destroying this platform and, for GitHub's workflows, a role with these policies.
# If you create a role for another CI system, do not name it `<deployment>-…`: the deployer may change roles with such names.
# An administrator applies this example once per deployment, with its own state (docs/deploying.md):
#
#   terraform init && terraform apply -var 'state={bucket="my-terraform-states",key="modelyard/terraform.tfstate"}' \
#     -var 'github={repository="my-company/models",environment="production"}'
#
# The policies identify resources by their names, which begin with the deployment's. Networks, file systems and the topic's
# key have no names: they are identified by the tag that the platform's provider puts on everything. Four things to know:
#
# - The deployer may not delete inputs and results. Empty their buckets before it destroys the platform.
# - The deployer may not read inputs and results either, whatever bucket policy it writes. But it deploys functions that
#   read them: people who must not see inputs must not deploy.
# - The deployer writes the policies of the platform's roles, so it can give these roles any permission. If that is too
#   much, require a permissions boundary for iam:CreateRole.
# - The deployer creates a key with tags, so it can tag other keys as well. If that is too much, use your own topic
#   (alarm_topic_arn) and remove the statements MakeKey, Key and Topic.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "name" {
  description = "Name of the deployment, as in the platform's variable of that name."
  type        = string
  default     = "modelyard"
  nullable    = false
}

variable "state" {
  description = "The S3 bucket and key of the platform's state, as in backend_override.tf. In a workspace other than the default one, the key is env:/<workspace>/<key>."
  type        = object({ bucket = string, key = string })
  nullable    = false
}

variable "image_repository" {
  description = "Name of the ECR repository that `modelctl image` pushes to."
  type        = string
  default     = "modelyard"
  nullable    = false
}

variable "github" {
  description = "The GitHub repository (`owner/name`) and the environment in it whose workflows deploy. They assume a role that is created for them, without a stored key. The account needs GitHub's OIDC provider. Null creates no role."
  type        = object({ repository = string, environment = string })
  default     = null

  validation {
    # A claim is compared as a whole, and a wildcard in it would be taken literally.
    condition     = var.github == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository)) && can(regex("^[^:*?/]+$", var.github.environment))
    error_message = "github must be one repository and one of its environments, as in {repository = \"my-company/models\", environment = \"production\"}."
  }
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  here      = "${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
  lambda    = "arn:${local.partition}:lambda:${local.here}"
  ec2       = "arn:${local.partition}:ec2:${local.here}"
  role      = "arn:${local.partition}:iam::${data.aws_caller_identity.current.account_id}:role"
  state     = "arn:${local.partition}:s3:::${var.state.bucket}"
  bucket = {
    for use in ["inputs", "results", "artifacts"] :
    use => "arn:${local.partition}:s3:::${var.name}-${use}-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.id}"
  }

  github = "token.actions.githubusercontent.com"

  tagged     = { StringEquals = { "aws:ResourceTag/Modelyard" = var.name } }
  to_be_made = { StringEquals = { "aws:RequestTag/Modelyard" = var.name } }
  of_ours    = { ArnLike = { "lambda:FunctionArn" = "${local.lambda}:function:${var.name}-*" } }

  statements = {
    # Networks and file systems.
    network = [
      {
        Sid      = "Look"
        Action   = ["ec2:Describe*", "ec2:GetSecurityGroupsForVpc", "elasticfilesystem:Describe*", "elasticfilesystem:ListTagsForResource"]
        Resource = "*"
      },
      {
        Sid = "Make"
        Action = [
          "ec2:CreateVpc", "ec2:CreateSubnet", "ec2:CreateRouteTable", "ec2:CreateVpcEndpoint", "ec2:CreateSecurityGroup",
          "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress",
          "elasticfilesystem:CreateFileSystem",
        ]
        Resource  = "*"
        Condition = local.to_be_made
      },
      {
        # The network, file system and groups in which or between which something is created, and the resources that change.
        Sid = "Change"
        Action = [
          "ec2:CreateSubnet", "ec2:CreateRouteTable", "ec2:CreateVpcEndpoint", "ec2:CreateSecurityGroup",
          "ec2:CreateNetworkInterface", "ec2:AssociateRouteTable", "ec2:DisassociateRouteTable",
          "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress",
          "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "ec2:ModifySecurityGroupRules",
          "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:CreateTags", "ec2:DeleteTags",
          "ec2:DeleteVpc", "ec2:DeleteSubnet", "ec2:DeleteRouteTable", "ec2:DeleteVpcEndpoints", "ec2:DeleteSecurityGroup",
          "elasticfilesystem:CreateAccessPoint", "elasticfilesystem:CreateMountTarget",
          "elasticfilesystem:ModifyMountTargetSecurityGroups", "elasticfilesystem:UpdateFileSystem",
          "elasticfilesystem:PutFileSystemPolicy", "elasticfilesystem:DeleteFileSystemPolicy",
          "elasticfilesystem:DeleteAccessPoint", "elasticfilesystem:DeleteMountTarget", "elasticfilesystem:DeleteFileSystem",
          "elasticfilesystem:TagResource", "elasticfilesystem:UntagResource",
        ]
        Resource  = "*"
        Condition = local.tagged
      },
      {
        # Creating a resource with tags also needs the permission to tag it.
        Sid      = "TagWhatIsNew"
        Action   = "ec2:CreateTags"
        Resource = "*"
        Condition = {
          StringEquals = {
            "ec2:CreateAction" = ["CreateVpc", "CreateSubnet", "CreateRouteTable", "CreateVpcEndpoint", "CreateSecurityGroup", "AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"]
          }
        }
      },
      {
        Sid       = "TagNewFileSystems"
        Action    = "elasticfilesystem:TagResource"
        Resource  = "*"
        Condition = { StringEquals = { "elasticfilesystem:CreateAction" = ["CreateFileSystem", "CreateAccessPoint"] } }
      },
      {
        # AWS creates a default group with each network; it can only be emptied once a tag shows that it is ours.
        Sid       = "TagDefaultGroup"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:security-group/*"
        Condition = merge(local.to_be_made, { Null = { "aws:ResourceTag/Modelyard" = "true" } })
      },
      {
        # A mount target is an interface, and interfaces that Lambda leaves behind are deleted with the subnets.
        Sid      = "Interfaces"
        Action   = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"]
        Resource = "${local.ec2}:network-interface/*"
      },
      {
        # EFS creates it with the first file system of an account.
        Sid       = "RoleOfEfs"
        Action    = "iam:CreateServiceLinkedRole"
        Resource  = "${local.role}/aws-service-role/elasticfilesystem.amazonaws.com/*"
        Condition = { StringEquals = { "iam:AWSServiceName" = "elasticfilesystem.amazonaws.com" } }
      },
    ]

    # All other resources with names.
    models = [
      {
        Sid      = "State"
        Action   = "s3:ListBucket"
        Resource = local.state
      },
      {
        Sid      = "StateAndLock"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = ["${local.state}/${var.state.key}", "${local.state}/${var.state.key}.tflock"]
      },
      {
        Sid = "Buckets"
        Action = [
          "s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:GetBucket*", "s3:Get*Configuration",
          "s3:PutBucketNotification", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
          "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging", "s3:PutBucketVersioning",
          "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
          "s3:ListTagsForResource", "s3:TagResource", "s3:UntagResource",
        ]
        Resource = values(local.bucket)
      },
      {
        # The deployer writes bucket policies, which could allow it. A denial wins.
        Sid      = "NoData"
        Effect   = "Deny"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = ["${local.bucket.inputs}/*", "${local.bucket.results}/*"]
      },
      {
        Sid      = "Artifacts"
        Action   = ["s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:DeleteObject"]
        Resource = "${local.bucket.artifacts}/*"
      },
      {
        Sid = "Queues"
        Action = [
          "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes",
          "sqs:ListQueueTags", "sqs:TagQueue", "sqs:UntagQueue",
        ]
        Resource = "arn:${local.partition}:sqs:${local.here}:${var.name}-*"
      },
      {
        Sid = "Roles"
        Action = [
          "iam:CreateRole", "iam:DeleteRole", "iam:GetRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy",
          "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:TagRole", "iam:UntagRole",
          "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
        ]
        Resource = "${local.role}/${var.name}-*"
      },
      {
        # A plan looks for a deployment of this name. IAM has no narrower resource for this action.
        Sid      = "FindRoles"
        Action   = "iam:ListRoles"
        Resource = "*"
      },
      {
        Sid       = "RolesForLambda"
        Action    = "iam:PassRole"
        Resource  = "${local.role}/${var.name}-*"
        Condition = { StringEquals = { "iam:PassedToService" = "lambda.amazonaws.com" } }
      },
      {
        # With event_way = "eventbridge" or "both".
        Sid = "EventRules"
        Action = [
          "events:PutRule", "events:DeleteRule", "events:DescribeRule", "events:PutTargets", "events:RemoveTargets",
          "events:ListTargetsByRule", "events:ListTagsForResource", "events:TagResource", "events:UntagResource",
        ]
        Resource = "arn:${local.partition}:events:${local.here}:rule/${var.name}-*"
      },
      {
        Sid      = "Schedules"
        Action   = ["scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"]
        Resource = "arn:${local.partition}:scheduler:${local.here}:schedule/default/${var.name}-*"
      },
      {
        Sid       = "RoleForScheduler"
        Action    = "iam:PassRole"
        Resource  = "${local.role}/${var.name}--keep-active"
        Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
      },
      {
        Sid      = "LogGroups"
        Action   = ["logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource"]
        Resource = "arn:${local.partition}:logs:${local.here}:log-group:/aws/lambda/${var.name}-*"
      },
      {
        Sid      = "FindLogGroups"
        Action   = "logs:DescribeLogGroups"
        Resource = "*"
      },
    ]

    # Functions, and what they run from.
    functions = [
      {
        # IAM cannot limit this action to certain quotas.
        Sid      = "Quotas"
        Action   = ["servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"]
        Resource = "*"
      },
      {
        Sid = "Functions"
        Action = [
          "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
          "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetFunctionCodeSigningConfig",
          "lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency",
          "lambda:PublishVersion", "lambda:ListVersionsByFunction",
          "lambda:CreateAlias", "lambda:DeleteAlias", "lambda:GetAlias", "lambda:ListAliases", "lambda:UpdateAlias",
          "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource",
        ]
        Resource = "${local.lambda}:function:${var.name}-*"
      },
      {
        # An apply calls the function that publishes weights.
        Sid      = "PublishWeights"
        Action   = "lambda:InvokeFunction"
        Resource = ["${local.lambda}:function:${var.name}--weights-sync", "${local.lambda}:function:${var.name}--weights-sync:*"]
      },
      {
        # It also checks every new version of a model before the alias moves. Versions are numbers. Neither $LATEST nor the
        # alias, through which clients get predictions, begins with a digit.
        Sid      = "CheckVersions"
        Action   = "lambda:InvokeFunction"
        Resource = [for digit in range(1, 10) : "${local.lambda}:function:${var.name}-*:${digit}*"]
      },
      {
        Sid      = "Layers"
        Action   = ["lambda:PublishLayerVersion", "lambda:GetLayerVersion", "lambda:DeleteLayerVersion"]
        Resource = "${local.lambda}:layer:${var.name}-*"
      },
      {
        Sid       = "Mappings"
        Action    = ["lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping"]
        Resource  = "*"
        Condition = local.of_ours
      },
      {
        # Lambda chooses the id of a mapping.
        Sid      = "FindAndTagMappings"
        Action   = ["lambda:GetEventSourceMapping", "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"]
        Resource = "${local.lambda}:event-source-mapping:*"
      },
      {
        # `modelctl image` pushes an image. This action is about the whole ECR registry, not a repository.
        Sid      = "LogInToRegistry"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        # Lambda reads an image as the principal that creates the function, and allows itself to in the repository's policy.
        Sid = "Images"
        Action = [
          "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy",
          "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage",
        ]
        Resource = "arn:${local.partition}:ecr:${local.here}:repository/${var.image_repository}"
      },
    ]

    # Alarms, dashboards and the topic.
    alarms = [
      {
        Sid      = "FindAlarms"
        Action   = "cloudwatch:DescribeAlarms"
        Resource = "*"
      },
      {
        Sid      = "Alarms"
        Action   = ["cloudwatch:PutMetricAlarm", "cloudwatch:PutCompositeAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:TagResource", "cloudwatch:UntagResource"]
        Resource = ["arn:${local.partition}:cloudwatch:${local.here}:alarm:${var.name}-*", "arn:${local.partition}:cloudwatch:${local.here}:alarm:${var.name}/*"]
      },
      {
        # An account's dashboards are the same in all regions.
        Sid      = "Dashboard"
        Action   = ["cloudwatch:PutDashboard", "cloudwatch:GetDashboard", "cloudwatch:DeleteDashboards"]
        Resource = "arn:${local.partition}:cloudwatch::${data.aws_caller_identity.current.account_id}:dashboard/${var.name}"
      },
      {
        Sid = "Topic"
        Action = [
          "sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:SetTopicAttributes",
          "sns:ListTagsForResource", "sns:TagResource", "sns:UntagResource",
        ]
        Resource = "arn:${local.partition}:sns:${local.here}:${var.name}-alarms"
      },
      {
        Sid       = "MakeKey"
        Action    = ["kms:CreateKey", "kms:TagResource"]
        Resource  = "*"
        Condition = local.to_be_made
      },
      {
        # The tags of a new key take up to five minutes to take effect; docs/operations.md says what to do until then.
        Sid = "Key"
        Action = [
          "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags",
          "kms:PutKeyPolicy", "kms:UpdateKeyDescription", "kms:EnableKeyRotation", "kms:DisableKeyRotation",
          "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion",
        ]
        Resource  = "*"
        Condition = local.tagged
      },
    ]
  }
}

# Four policies, because one has at most 6,144 characters.
resource "aws_iam_policy" "deployer" {
  for_each = local.statements

  name        = "${var.name}-deployer-${each.key}"
  description = "What applying ${var.name} takes: ${each.key}"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in each.value : merge({ Effect = "Allow" }, statement)]
  })
}

# A workflow proves its identity with a token from GitHub, and gets credentials for one hour.
resource "aws_iam_role" "github" {
  # checkov:skip=CKV_AWS_393:the claim names one repository and one environment, which the validation of var.github sees to
  count = var.github == null ? 0 : 1

  # The deployer may change roles named "<name>-…". The underscore keeps this role from being one of them.
  name        = "deploy_${var.name}"
  description = "Deploys ${var.name} from ${var.github.repository}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:${local.partition}:iam::${data.aws_caller_identity.current.account_id}:oidc-provider/${local.github}" }
      Condition = {
        StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = "repo:${var.github.repository}:environment:${var.github.environment}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "github" {
  for_each = { for use, policy in aws_iam_policy.deployer : use => policy.arn if var.github != null }

  role       = aws_iam_role.github[0].name
  policy_arn = each.value
}

output "policy_arns" {
  description = "The policies to attach to the deployer's role."
  value       = [for policy in aws_iam_policy.deployer : policy.arn]
}

output "github_role_arn" {
  description = "The role that GitHub's workflows assume; null without `github`."
  value       = one(aws_iam_role.github[*].arn)
}
