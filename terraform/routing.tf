module "routing" {
  source = "./modules/routing"

  deployment    = local.deployment
  inputs_bucket = local.buckets.inputs
  event_way     = var.event_way
  began_with    = module.home.home.event_way
  # The local stack applies a change at once.
  minutes_to_wait = local.local_stack ? 0 : 10
  models = {
    for name, model in local.models : name => {
      prefixes             = model.route.prefixes
      suffixes             = model.route.suffixes
      queue                = model.names.queue
      dead_letter_queue    = model.names.dead_letter_queue
      visibility_timeout_s = model.visibility_timeout_s
      retries              = model.retries
      tags                 = model.tags
    }
  }
}
