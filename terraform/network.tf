module "network" {
  source = "./modules/network"
  count  = var.network == null ? 1 : 0

  deployment = local.deployment
  buckets    = local.bucket_arns
}

locals {
  network = var.network != null ? var.network : one(module.network)
}
