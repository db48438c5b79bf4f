# The schema as tables. A rule is what the schema says about one value; its id is its name in "$defs", or its path there.

locals {
  schema = jsondecode(file("${path.module}/model_registry.schema.json"))

  _named_rules = merge({ "" = local.schema }, local.schema["$defs"])
  _inline_rules = merge([for id, rule in local._named_rules : {
    for key, child in merge(try(rule.properties, {}), { for _ in [1] : "items" => rule.items if can(rule.items) }) :
    "${id}/${key}" => child if !can(child["$ref"])
  }]...)
  _inner_rules = merge([for id, rule in local._inline_rules : { "${id}/items" = rule.items } if can(rule.items)]...)
  rules        = merge(local._named_rules, local._inline_rules, local._inner_rules)

  # The rules of a map's known keys, and of all its other keys, by the map's rule.
  rules_of_keys = { for id, rule in local.rules : id => {
    for key, child in rule.properties : key => try(trimprefix(child["$ref"], "#/$defs/"), "${id}/${key}")
  } if can(rule.properties) }
  rule_of_other_keys = { for id, rule in local.rules : id => trimprefix(rule.additionalProperties["$ref"], "#/$defs/")
  if can(rule.additionalProperties["$ref"]) }

  # The types that a value may have, as its JSON shows: a whole number is a number as well.
  types = { for id, rule in local.rules : id => concat(
    flatten([rule.type]), contains(flatten([rule.type]), "number") ? ["integer"] : [],
  ) }
  enums = { for id, rule in local.rules : id => [for value in rule.enum : jsonencode(value)] if can(rule.enum) }
}
