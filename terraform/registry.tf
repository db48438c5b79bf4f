module "registry" {
  source = "./modules/registry"

  name_prefix   = var.name
  registry_file = startswith(var.registry_file, "/") ? var.registry_file : "${path.root}/${var.registry_file}"
  event_way     = var.event_way
  quotas        = local.quotas
}

locals {
  models = module.registry.models
}
