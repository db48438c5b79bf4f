# What the function is told: one JSON document per model, made here and nowhere else. Terraform hands it to the function,
# `modelctl import` and the benchmarks to the same code on this machine; functions/inference/config.py reads it.

locals {
  # The version of what the function must understand (CONTRACT in config.py): a function refuses another one, and every
  # field that it does not know.
  contract = 1

  # What the schema marks with `x-function`: fields of the entry itself, under "", and by section the fields in it, where
  # the mark of a section is one of all its fields.
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

  # The function's environment, but for the name of the results bucket, which the deployment adds.
  environments = { for name, document in local.documents : name => merge(local._maps[name].env, {
    MODELYARD_MODEL   = document
    MODELYARD_WEIGHTS = local.mount
  }) }
}
