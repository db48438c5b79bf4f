output "inputs_bucket" {
  description = "Name of the bucket to upload to, under a model's prefix."
  value       = local.bucket_names.inputs
}

output "results_bucket" {
  description = "Name of the bucket with the results: the result of the input <key> is <model>/<key>.json."
  value       = local.bucket_names.results
}

output "alarm_topic_arn" {
  description = "The SNS topic that alarms notify; people on call subscribe to it."
  value       = module.observability.topic_arn
}

output "uploader_policies" {
  description = "One IAM policy (JSON) per model, for people and programs that upload its inputs and read their results. It allows nothing else."
  value       = { for name in keys(local.models) : name => module.model[name].uploader_policy }
}

output "invoker_policy" {
  description = "An IAM policy (JSON) for people and programs that call models directly. It allows `modelctl invoke` and nothing else."
  value       = local.invoker_policy
}

output "operator_policy" {
  description = "An IAM policy (JSON) for people on call. It lets them see what happened to inputs and queue them again, but not change a function or receive from a queue of inputs."
  value       = local.operator_policy
}

output "deployment" {
  description = "Everything that a program needs to use this deployment. `modelctl` reads it."
  value = {
    name       = local.deployment.name
    account_id = local.deployment.account_id
    region     = local.deployment.region
    buckets    = local.bucket_names
    event_way  = var.event_way
    models = {
      for name, model in local.models : name => {
        version               = model.version
        digest                = model.digest
        runtime               = model.runtime
        description           = model.description
        prefixes              = model.route.prefixes
        suffixes              = model.route.suffixes
        format                = model.format
        memory_mb             = model.memory_mb
        timeout_s             = model.timeout_s
        visibility_timeout_s  = model.visibility_timeout_s
        retries               = model.retries
        function_name         = model.names.function
        alias                 = module.model[name].alias
        log_group             = module.model[name].log_group
        queue_url             = module.routing.queue_urls[name]
        dead_letter_queue_url = module.routing.dead_letter_queue_urls[name]
      }
    }
  }
}
