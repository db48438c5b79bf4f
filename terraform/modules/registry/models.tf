# The normal form: every field of every model is there, with the same type in all models, whatever the registry left out.

locals {
  # By model and field. An empty map and an empty list have no type of their own: the one of a list with an entry is kept.
  _maps = { for name, model in local.merged : name => { for field in ["env", "tags"] : field => {
    for key, value in model : trimprefix(key, "${field}.") => value if startswith(key, "${field}.") && value != null
  } } }
  _typed_maps = { for name, maps in local._maps : name => { for field, map in maps : field => zipmap(
    keys(map), slice(tolist(concat([""], values(map))), 1, length(map) + 1),
  ) } }

  models = tomap({ for name, model in local.merged : name => {
    description = model.description
    version     = model.version
    runtime     = model.runtime
    signature   = model.signature
    digest      = local._digests[name]
    files       = tomap(local._files[name])
    route = {
      prefixes = compact(model["route.prefixes"])
      suffixes = compact(model["route.suffixes"])
    }
    input = {
      format  = model["input.format"]
      size    = model["input.size"] == null ? null : tolist([for index in [0, 1] : try(model["input.size"][index], 0)])
      mode    = tostring(model["input.mode"])
      scale   = tonumber(model["input.scale"])
      mean    = model["input.mean"] == null ? null : tolist(try([for number in model["input.mean"] : tonumber(number)], [0]))
      std     = model["input.std"] == null ? null : tolist(try([for number in model["input.std"] : tonumber(number)], [0]))
      layout  = tostring(model["input.layout"])
      columns = model["input.columns"] == null ? null : tolist(try([for column in model["input.columns"] : tostring(column)], [""]))
    }
    output = {
      labels     = tostring(model["output.labels"])
      top_k      = tonumber(model["output.top_k"])
      threshold  = tonumber(model["output.threshold"])
      activation = tostring(model["output.activation"])
    }
    limits       = { for field in keys(local.rules_of_keys.limits) : field => tonumber(model["limits.${field}"]) }
    memory_mb    = model.memory_mb
    timeout_s    = model.timeout_s
    ephemeral_mb = model.ephemeral_mb
    architecture = model.architecture
    batch        = { size = model["batch.size"], window_s = model["batch.window_s"] }
    concurrency  = { maximum = model["concurrency.maximum"], reserved = tonumber(model["concurrency.reserved"]) }
    # How long the queue waits before it tries an input again.
    visibility_timeout_s = model.visibility_timeout_s
    retries              = model.retries
    alarms               = { for alarm in keys(local.rules_of_keys.alarms) : alarm => tonumber(model["alarms.${alarm}"]) }
    env                  = local._typed_maps[name].env
    tags                 = local._typed_maps[name].tags
  } if length(local.problems) == 0 })
}
