module "observability" {
  source = "./modules/observability"

  deployment = local.deployment
  models     = { for name, model in local.models : name => model.names }
  topic_arn  = var.alarm_topic_arn
}
