# Names and ARNs contain the account and the region that this returns, so all waits until they are known to be right.
module "home" {
  source = "./modules/home"

  name       = var.name
  account_id = data.aws_caller_identity.current.account_id
  region     = data.aws_region.current.id
  role_name  = local.weights_sync_name
  event_way  = var.event_way
}

locals {
  # Why nothing may be destroyed from here; empty if it may.
  misplaced = (
    (terraform.workspace == "local") == (data.aws_caller_identity.current.account_id == local.local_account)
    ? module.home.home.problem
    : format(local.targets_message, terraform.workspace, data.aws_caller_identity.current.account_id)
  )
}
