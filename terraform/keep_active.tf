# The function that publishes weights is always kept active: without that, it would be idle between two new models, and
# Terraform does not repeat a call that Lambda refuses.
module "keep_active" {
  source = "./modules/keep_active"

  deployment = local.deployment
  models     = [for model in local.models : model.names.function if model.keep_active]
  others     = [local.weights_sync_name]
}
