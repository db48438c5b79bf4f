# Names and ARNs contain the account and the region that this returns, so everything waits until these are known to be right.
module "home" {
  source = "./modules/home"

  name       = var.name
  account_id = data.aws_caller_identity.current.account_id
  region     = data.aws_region.current.id
  role_name  = local.weights_sync_name
  event_way  = var.event_way
}

locals {
  # Why destroying is not allowed from here; empty if it is allowed.
  misplaced = (
    (terraform.workspace == "local") == (data.aws_caller_identity.current.account_id == local.local_account)
    ? module.home.home.problem
    : format(local.targets_message, terraform.workspace, data.aws_caller_identity.current.account_id)
  )
}
