module "model" {
  source   = "./modules/model"
  for_each = local.models

  deployment            = local.deployment
  name                  = each.key
  model                 = each.value
  buckets               = local.buckets
  queue_arn             = module.routing.queue_arns[each.key]
  file_system           = module.storage.file_system
  network               = local.network
  weights_sync          = module.weights_sync.function_name
  alarm_topic_arn       = module.observability.topic_arn
  notify_cleared_alarms = var.notify_cleared_alarms
  log_retention_days    = var.log_retention_days

  package = {
    lambda_runtime = module.packages.lambda_runtime
    image_uri      = module.packages.models[each.key].image_uri
    s3_bucket      = local.buckets.artifacts
    s3_key         = module.packages.models[each.key].code == null ? null : aws_s3_object.code[module.packages.models[each.key].code].key
    code_sha256    = module.packages.models[each.key].code == null ? null : module.packages.code[module.packages.models[each.key].code].code_sha256
    publish_again  = contains(var.publish_again, each.key)
    layers         = [for layer in compact([module.packages.models[each.key].layer]) : aws_lambda_layer_version.runtime[layer].arn]
  }
}
