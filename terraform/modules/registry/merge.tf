# A model's values: the schema's defaults, the registry's defaults, those of a file in the folder for the models in that file,
# and the model's own, in this order, leaf by leaf ("input.size", "env.LOG_LEVEL"). So maps are merged key by key, and a null
# in the model removes a default.

locals {
  _schema_defaults = merge([for key, id in local.rules_of_keys["model"] : merge(
    { for _ in [1] : key => local.rules[id].default if can(local.rules[id].default) && !can(local.rules[id].additionalProperties) },
    { for subkey, subid in try(local.rules_of_keys[id], {}) : "${key}.${subkey}" => local.rules[subid].default if can(local.rules[subid].default) },
  )]...)

  # A value that breaks its rule is null: it hides the default, and no other check reports it.
  _broken_leaves = { for node in local._broken_rules : "${node.section}/${node.leaf}" => true... }
  _leaves = {
    for node in concat(local._fields, local._subfields) :
    node.section => { key = node.leaf, value = can(local._broken_leaves["${node.section}/${node.leaf}"]) ? null : node.value }...
    if node.rule != null && !can(local.rules_of_keys[node.rule]) && !can(local.rule_of_other_keys[node.rule])
  }
  _given = { for section, leaves in local._leaves : section => { for leaf in leaves : leaf.key => leaf.value } }

  # Fields whose default depends on the runtime: the field of the same name in runtimes.json.
  _runtime_defaults = { for runtime, it in local.runtimes : runtime => {
    for key, id in local.rules_of_keys["model"] : key => it[key] if can(local.rules[id]["x-runtime-default"])
  } }

  # One flat object of leaves per model. The default prefix depends on the name.
  _merged = {
    for name, given in { for node in local._models : node.key => merge(
      try(local._given.defaults, {}), try(local._given["${node.file} defaults"], {}), try(local._given[node.path], {}),
    ) if can(keys(node.value)) && node.section == node.path } :
    name => merge(
      local._schema_defaults,
      { "route.prefixes" = ["${name}/"] },
      try(local._runtime_defaults[given.runtime], {}),
      given,
    )
  }

  # Lambda recommends six times the function's timeout, plus the batch window. While Lambda restores a function that was idle
  # for weeks, it refuses its calls (scripts/modelctl/deployed/restoring.py). The last attempt at an input must come after that,
  # which is impossible if `retries` is 1.
  _restored_within_s = 120
  _visibility_timeouts_s = { for name, model in local._merged : name => try(max(
    6 * model.timeout_s + model["batch.window_s"],
    model.retries > 1 ? ceil(local._restored_within_s / (model.retries - 1)) : 0,
  ), null) }

  merged = {
    for name, model in local._merged : name => merge(
      {
        visibility_timeout_s = local._visibility_timeouts_s[name]
        "alarms.queue_age_s" = try(3 * local._visibility_timeouts_s[name], null)
      },
      model,
    )
  }
}
