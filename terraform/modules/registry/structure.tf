# The registry against its schema: names, types and ranges of all fields.
#
# A node is one value of the registry, in `file`. `rule` is the id of its rule in the schema, null for an unknown field, `parent` the
# rule of the map that contains it. `section` is "defaults" or a model's path, `leaf` the node's path inside it. Terraform has
# no recursion, so the nodes are found level by level; the registry has four, and below a list of maps one more.

locals {
  _roots = [for file in local.files : { file = file, path = "", section = "", leaf = "", key = null, parent = null, rule = "", value = local.contents[file] }]

  # Sections of the registry's main file have the names of their paths; those of other files begin with the file.
  _top = flatten([for file in local.files : [
    for key, value in try({ for key in keys(local.contents[file]) : key => local.contents[file][key] }, {}) : {
      file    = file
      path    = key
      section = file == var.registry_file ? key : "${file} ${key}"
      leaf    = ""
      key     = key
      parent  = ""
      rule    = try(local.rules_of_keys[""][key], null)
      value   = value
    }
  ]])

  # The files that have each model. The first one counts; several are a problem (duplicates.tf).
  _files_by_model = { for model in flatten([for node in local._top : [
    for name in try(keys(node.value), []) : { name = name, file = node.file }
  ] if node.path == "models"]) : model.name => model.file... }

  _models = flatten([for node in local._top : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
      file    = node.file
      path    = "models.${key}"
      section = node.file == local._files_by_model[key][0] ? "models.${key}" : "${node.file} models.${key}"
      leaf    = ""
      key     = key
      parent  = node.rule
      rule    = "model"
      value   = value
    }
  ] if node.path == "models"])

  _fields = flatten([for node in concat(local._models, [for node in local._top : node if node.path == "defaults"]) : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
      file    = node.file
      path    = "${node.path}.${key}"
      section = node.section
      leaf    = key
      key     = key
      parent  = node.rule
      rule    = try(local.rules_of_keys[node.rule][key], null)
      value   = value
    }
  ]])

  _subfields = flatten([for node in local._fields : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
      file    = node.file
      path    = "${node.path}.${key}"
      section = node.section
      leaf    = "${node.leaf}.${key}"
      key     = key
      parent  = node.rule
      rule    = try(local.rules_of_keys[node.rule][key], local.rule_of_other_keys[node.rule], null)
      value   = value
    }
  ] if can(local.rules[node.rule].additionalProperties)])

  # The entries of a list have the list's leaf: one bad entry makes the whole list invalid.
  _entries = flatten([for node in local._subfields : [
    for index, value in try([for value in node.value : value if !can(keys(node.value))], []) : {
      file    = node.file
      path    = "${node.path}[${index}]"
      section = node.section
      leaf    = node.leaf
      key     = null
      parent  = null
      rule    = "${node.rule}/items"
      value   = value
    }
  ] if can(local.rules[node.rule].items)])

  # The maps in a field that is a list of maps, and their fields; all of them have the list's leaf.
  _items = flatten([for node in local._fields : [
    for index, value in try([for value in node.value : value if !can(keys(node.value))], []) : {
      file    = node.file
      path    = "${node.path}[${index}]"
      section = node.section
      leaf    = node.leaf
      key     = null
      parent  = null
      rule    = trimprefix(local.rules[node.rule].items["$ref"], "#/$defs/")
      value   = value
    }
  ] if can(local.rules[node.rule].items["$ref"])])
  _item_fields = flatten([for node in local._items : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
      file    = node.file
      path    = "${node.path}.${key}"
      section = node.section
      leaf    = node.leaf
      key     = key
      parent  = node.rule
      rule    = try(local.rules_of_keys[node.rule][key], null)
      value   = value
    }
  ]])

  _nodes = concat(
    [for node in local._roots : node if length(local.file_problems) == 0],
    local._top, local._models, local._fields, local._subfields, local._entries, local._items, local._item_fields,
  )

  # The first character of a value's JSON shows its type.
  _type_by_character = { "{" = "object", "[" = "array", "\"" = "string", "t" = "boolean", "f" = "boolean", "n" = "null" }
  _jsons             = [for node in local._nodes : jsonencode(node.value)]
  _typed = [for index, node in local._nodes : {
    file    = node.file
    path    = node.path
    section = node.section
    leaf    = node.leaf
    rule    = node.rule
    value   = node.value
    json    = local._jsons[index]
    type = try(
      local._type_by_character[substr(local._jsons[index], 0, 1)],
      strcontains(local._jsons[index], ".") ? "number" : "integer",
    )
  } if node.rule != null]
  _type_names = {
    object  = "a map", array = "a list", string = "a string", integer = "a whole number", number = "a number",
    boolean = "true or false", null = "null"
  }

  _well_typed = [for node in local._typed : node if contains(local.types[node.rule], node.type)]
  _strings    = [for node in local._well_typed : node if node.type == "string"]
  _numbers    = [for node in local._well_typed : node if contains(["integer", "number"], node.type)]
  _arrays     = [for node in local._well_typed : node if node.type == "array"]
  _objects    = [for node in local._well_typed : node if node.type == "object"]
  _free_keys  = [for node in local._nodes : node if can(local.rules[node.parent].propertyNames)]

  # One list per keyword of the schema: the nodes that break it, each with its message in `says`. `try` covers the rules
  # without the keyword, which nothing can break.

  # type: values of another type.
  _broken_type = [for node in local._typed : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    format("must be %s%s",
      join(" or ", [for type in flatten([local.rules[node.rule].type]) : local._type_names[type]]),
      node.type == "null" ? ", but is empty" : ", not ${contains(["object", "array"], node.type) ? local._type_names[node.type] : node.json}",
    ),
  ) }) if !contains(local.types[node.rule], node.type)]

  # enum: values that are not among the listed ones.
  _broken_enum = [for node in local._well_typed : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    "must be ${join(" or ", local.rules[node.rule].enum)}, not ${node.json}",
  ) }) if try(!contains(local.enums[node.rule], node.json), false)]

  # minimum, maximum and exclusiveMinimum: numbers out of range.
  _broken_range = [for node in local._numbers : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    "must be from ${local.rules[node.rule].minimum} to ${local.rules[node.rule].maximum}, not ${node.json}",
    "must be at least ${local.rules[node.rule].minimum}, not ${node.json}",
    "must be more than ${local.rules[node.rule].exclusiveMinimum}, not ${node.json}",
    ) }) if anytrue([
    try(node.value < local.rules[node.rule].minimum, false),
    try(node.value > local.rules[node.rule].maximum, false),
    try(node.value <= local.rules[node.rule].exclusiveMinimum, false),
  ])]

  # minLength: empty strings.
  _broken_min_length = [for node in local._strings : merge(node, { says = "must not be empty" })
  if try(length(node.value) < local.rules[node.rule].minLength, false)]

  # maxLength: strings that are too long.
  _broken_max_length = [for node in local._strings : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    "must have at most ${local.rules[node.rule].maxLength} characters, not ${length(node.value)}",
  ) }) if try(length(node.value) > local.rules[node.rule].maxLength, false)]

  # pattern: strings that do not match.
  _broken_pattern = [for node in local._strings : merge(node, { says = "${node.json} is not valid: ${local.rules[node.rule].patternErrorMessage}" })
  if try(length(regexall(local.rules[node.rule].pattern, node.value)) == 0, false)]

  # not: strings that match what is forbidden.
  _broken_not = [for node in local._strings : merge(node, { says = local.rules[node.rule].not.errorMessage })
  if try(length(regexall(local.rules[node.rule].not.pattern, node.value)) > 0, false)]

  # minItems: lists with too few entries.
  _broken_min_items = [for node in local._arrays : merge(node, { says = try(local.rules[node.rule].errorMessage, "must not be empty") })
  if try(length(node.value) < local.rules[node.rule].minItems, false)]

  # maxItems: lists with too many entries.
  _broken_max_items = [for node in local._arrays : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    "must have at most ${local.rules[node.rule].maxItems} entries, not ${length(node.value)}",
  ) }) if try(length(node.value) > local.rules[node.rule].maxItems, false)]

  # uniqueItems: lists with an entry twice.
  _broken_unique_items = [for node in local._arrays : merge(node, { says = "contains the same entry twice" })
  if try(local.rules[node.rule].uniqueItems && length(distinct(node.value)) < length(node.value), false)]

  # minProperties: maps with too few keys.
  _broken_min_properties = [for node in local._objects : merge(node, { says = local.rules[node.rule].errorMessage })
  if try(length(node.value) < local.rules[node.rule].minProperties, false)]

  # maxProperties: maps with too many keys.
  _broken_max_properties = [for node in local._objects : merge(node, { says = try(
    local.rules[node.rule].errorMessage,
    "must have at most ${local.rules[node.rule].maxProperties} entries, not ${length(node.value)}",
  ) }) if try(length(node.value) > local.rules[node.rule].maxProperties, false)]

  # propertyNames: values whose key does not match or is too long, and those whose key matches what is forbidden.
  _broken_property_names = concat(
    [for node in local._free_keys : merge(node, { says = local.rules[node.parent].propertyNames.patternErrorMessage }) if anytrue([
      try(length(regexall(local.rules[node.parent].propertyNames.pattern, node.key)) == 0, false),
      try(length(node.key) > local.rules[node.parent].propertyNames.maxLength, false),
    ])],
    [for node in local._free_keys : merge(node, { says = local.rules[node.parent].propertyNames.not.errorMessage })
    if try(length(regexall(local.rules[node.parent].propertyNames.not.pattern, node.key)) > 0, false)],
  )

  # required: maps without a field that they must have, once per field.
  _broken_required = flatten([for node in local._objects : [
    for key in try(local.rules[node.rule].required, []) : merge(node, { says = "the field \"${key}\" is missing" })
    # All models may be in the folder.
    if !can(node.value[key]) && !(node.rule == "" && key == "models" && node.file == var.registry_file && length(local.files) > 1)
  ]])

  # additionalProperties: fields that the map's rule does not know, with those that it does know. These are left out for a
  # model's field in the defaults: it has the right name in the wrong place.
  _unknown = [for node in local._nodes : merge(node, {
    known = node.parent == "/defaults" && can(local.rules_of_keys["model"][node.key]) ? [] : keys(local.rules_of_keys[node.parent])
  }) if node.rule == null]

  _broken_rules = concat(
    local._broken_type, local._broken_enum, local._broken_range,
    local._broken_min_length, local._broken_max_length, local._broken_pattern, local._broken_not,
    local._broken_min_items, local._broken_max_items, local._broken_unique_items,
    local._broken_min_properties, local._broken_max_properties, local._broken_property_names, local._broken_required,
  )

  structure_problems = concat(
    [for node in local._broken_rules : {
      file = node.file
      path = node.path
      at   = node.path
      # Terraform's JSON escapes what would be special in HTML.
      message = replace(replace(replace(node.says, "\\u003c", "<"), "\\u003e", ">"), "\\u0026", "&")
    }],
    # `modelctl validate` suggests the one of `known` that looks like `key`.
    [for node in local._unknown : {
      file    = node.file
      path    = trimsuffix(trimsuffix(node.path, node.key), ".")
      at      = node.path
      message = "unknown field \"${node.key}\"${length(node.known) == 0 ? ": it cannot be a default; give it in each model" : " (known: ${join(", ", node.known)})"}"
      key     = node.key
      known   = node.known
    }],
  )
}
