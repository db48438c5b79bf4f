# One JSON document per model, built only here. Terraform passes it to the function; `modelctl import` and the benchmarks pass
# it to the same code on this machine; functions/inference/config.py reads it.

locals {
  # The version of what the fields mean (CONTRACT in config.py). A function refuses a document of another version, or with
  # a field that it does not know.
  contract = 2

  # What the schema marks with `x-function`: under "" the fields of the entry itself, and under each section's name the
  # fields in it. Marking a section marks all its fields.
  _told = merge(
    { "" = [for key, id in local.rules_of_keys["model"] : key if can(local.rules[id]["x-function"]) && !can(local.rules_of_keys[id])] },
    { for section, id in local.rules_of_keys["model"] : section => [
      for key, subid in local.rules_of_keys[id] : key if can(local.rules[id]["x-function"]) || can(local.rules[subid]["x-function"])
    ] if can(local.rules_of_keys[id]) },
  )

  documents = { for name, model in local.merged : name => jsonencode(merge(
    { contract = local.contract, name = name, digest = try(local._digests[name], "") },
    { for key in local._told[""] : key => model[key] if try(model[key] != null, false) },
    { for section, keys in local._told : section => {
      for key in keys : key => model["${section}.${key}"] if model["${section}.${key}"] != null
    } if section != "" && length(keys) > 0 },
  )) }

  # Where the function sees its weights.
  mount = "/mnt/model"

  # The function's environment variables, except the name of the results bucket, which the deployment adds.
  variables = { for name, document in local.documents : name => merge(local._maps[name].env, {
    MODELYARD_MODEL   = document
    MODELYARD_WEIGHTS = local.mount
  }) }
}
