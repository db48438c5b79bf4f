module "storage" {
  source = "./modules/storage"

  deployment = local.deployment
  network    = local.network
}
