module "observability" {
  source = "./modules/observability"

  deployment = local.deployment
  models     = { for name, model in local.models : name => model.names }
  alarms     = { for name, model in module.model : name => model.alarms }
  topic_arn  = var.alarm_topic_arn
}
