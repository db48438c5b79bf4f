# Endpoint, credentials and region come from the environment, both for the local stack (`modelctl env`) and for AWS.
provider "aws" {
  default_tags {
    tags = { Modelyard = var.name }
  }
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {
  lifecycle {
    # A state belongs to one target. On the other one, everything in it would look deleted. `terraform destroy` only warns
    # about this, but the validation of the variable force_destroy also stops a destroy.
    postcondition {
      condition     = (terraform.workspace == "local") == (self.account_id == local.local_account)
      error_message = format(local.targets_message, terraform.workspace, self.account_id)
    }
  }
}

locals {
  # What each module needs to compute names and ARNs without reading them from a resource.
  deployment = {
    name       = var.name
    region     = module.home.home.region
    account_id = module.home.home.account_id
    # What the ARNs of a service begin with.
    arns = merge(
      { s3 = "arn:${data.aws_partition.current.partition}:s3:::" },
      { iam = "arn:${data.aws_partition.current.partition}:iam::${module.home.home.account_id}:" },
      { for service in ["events", "lambda", "logs", "scheduler", "sns", "sqs"] :
      service => "arn:${data.aws_partition.current.partition}:${service}:${module.home.home.region}:${module.home.home.account_id}:" },
    )
  }

  local_account   = "000000000000"
  local_stack     = local.deployment.account_id == local.local_account
  targets_message = "The workspace %q and the account %s do not belong together: the workspace \"local\" is for the local stack (account ${local.local_account}), all others are for AWS. For the local stack, run `eval \"$(.venv/bin/modelctl env)\"` first; for AWS, `eval \"$(.venv/bin/modelctl env --unset)\"`."
}
