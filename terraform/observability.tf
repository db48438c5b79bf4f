module "observability" {
  source = "./modules/observability"

  deployment = local.deployment
  models     = keys(local.models)
  topic_arn  = var.alarm_topic_arn
}
