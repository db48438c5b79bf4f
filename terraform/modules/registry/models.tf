# The normal form, from which Terraform creates a model: all models have the same fields and types, whatever the registry left
# out. Fields that only the function needs are in the document (document.tf), which is included here as text.

locals {
  _maps = { for name, model in local.merged : name => { for field in ["env", "tags"] : field => {
    for key, value in model : trimprefix(key, "${field}.") => value if startswith(key, "${field}.") && value != null
  } } }

  models = tomap({ for name, model in local.merged : name => {
    description = model.description
    version     = model.version
    runtime     = model.runtime
    digest      = local._digests[name]
    files       = tomap(local._files[name])
    names       = local.names[name]
    route = {
      prefixes = compact(model["route.prefixes"])
      suffixes = compact(model["route.suffixes"])
    }
    format       = model["input.format"]
    memory_mb    = model.memory_mb
    timeout_s    = model.timeout_s
    ephemeral_mb = model.ephemeral_mb
    architecture = model.architecture
    batch        = { size = model["batch.size"], window_s = model["batch.window_s"] }
    concurrency  = { maximum = model["concurrency.maximum"], reserved = tonumber(model["concurrency.reserved"]) }
    # How long the queue waits before it tries an input again.
    visibility_timeout_s = model.visibility_timeout_s
    retries              = model.retries
    keep_active          = model.keep_active
    alarms               = { for alarm in keys(local.rules_of_keys.alarms) : alarm => tonumber(model["alarms.${alarm}"]) }
    variables            = tomap(local.variables[name])
    check                = local._checks[name]
    tags                 = tomap(merge(local._maps[name].tags, { Model = name }))
  } if length(local.problems) == 0 })
}
