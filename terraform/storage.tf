module "storage" {
  source = "./modules/storage"

  deployment = local.deployment
  network    = local.network
  writer     = local.weights_sync_name
}
