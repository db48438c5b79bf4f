locals {
  # Two hyphens, so that no model's function can have the same name.
  weights_sync_name = "${var.name}--weights-sync"
}

module "weights_sync" {
  source = "./modules/weights_sync"

  deployment         = local.deployment
  name               = local.weights_sync_name
  artifacts_bucket   = local.bucket_names.artifacts # a name, so that the role does not wait for the bucket; the code does
  file_system        = module.storage.file_system
  network            = local.network
  mount_targets      = module.storage.mount_targets
  log_retention_days = var.log_retention_days
  role_tags          = module.home.tags

  package = {
    lambda_runtime = module.packages.lambda_runtime
    s3_bucket      = aws_s3_object.code["weights_sync"].bucket
    s3_key         = aws_s3_object.code["weights_sync"].key
    code_sha256    = module.packages.code["weights_sync"].code_sha256
  }
}
