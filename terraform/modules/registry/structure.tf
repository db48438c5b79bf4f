# The registry against its schema: names, types and ranges of all fields.
#
# A node is one value of the registry. `rule` is the id of its rule in the schema, null for an unknown field, `parent` the
# rule of the map it stands in. `section` is "defaults" or a model's path, `leaf` the node's path inside it. Terraform has
# no recursion, so the nodes are found level by level; the registry has four.

locals {
  _root = { path = "", section = "", leaf = "", key = null, parent = null, rule = "", value = local.document }

  _top = [for key, value in try({ for key in keys(local.document) : key => local.document[key] }, {}) : {
    path    = key
    section = key
    leaf    = ""
    key     = key
    parent  = ""
    rule    = try(local.rules_of_keys[""][key], null)
    value   = value
  }]

  _models = flatten([for node in local._top : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
      path    = "models.${key}"
      section = "models.${key}"
      leaf    = ""
      key     = key
      parent  = node.rule
      rule    = "model"
      value   = value
    }
  ] if node.path == "models"])

  _fields = flatten([for node in concat(local._models, [for node in local._top : node if node.path == "defaults"]) : [
    for key, value in try({ for key in keys(node.value) : key => node.value[key] }, {}) : {
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
      path    = "${node.path}.${key}"
      section = node.section
      leaf    = "${node.leaf}.${key}"
      key     = key
      parent  = node.rule
      rule    = try(local.rules_of_keys[node.rule][key], local.rule_of_other_keys[node.rule], null)
      value   = value
    }
  ] if can(local.rules[node.rule].additionalProperties)])

  # The entries of a list have the list's leaf: one bad entry spoils the list.
  _entries = flatten([for node in local._subfields : [
    for index, value in try([for value in node.value : value if !can(keys(node.value))], []) : {
      path    = "${node.path}[${index}]"
      section = node.section
      leaf    = node.leaf
      key     = null
      parent  = null
      rule    = "${node.rule}/items"
      value   = value
    }
  ] if can(local.rules[node.rule].items)])

  _nodes = concat(
    [for node in [local._root] : node if local.file_problem == null],
    local._top, local._models, local._fields, local._subfields, local._entries,
  )

  # What a value is can be read off its JSON: the first character tells.
  _type_by_character = { "{" = "object", "[" = "array", "\"" = "string", "t" = "boolean", "f" = "boolean", "n" = "null" }
  _jsons             = [for node in local._nodes : jsonencode(node.value)]
  _typed = [for index, node in local._nodes : {
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

  # In every list `try` stands for a rule without the keyword, which nothing can break.
  _broken_rules = concat(
    [for node in local._typed : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      format("must be %s%s",
        join(" or ", [for type in flatten([local.rules[node.rule].type]) : local._type_names[type]]),
        node.type == "null" ? ", but is empty" : ", not ${contains(["object", "array"], node.type) ? local._type_names[node.type] : node.json}",
      ),
    ) }) if !contains(local.types[node.rule], node.type)],

    [for node in local._well_typed : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      "must be ${join(" or ", local.rules[node.rule].enum)}, not ${node.json}",
    ) }) if try(!contains(local.enums[node.rule], node.json), false)],

    [for node in local._numbers : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      "must be from ${local.rules[node.rule].minimum} to ${local.rules[node.rule].maximum}, not ${node.json}",
      "must be more than ${local.rules[node.rule].exclusiveMinimum}, not ${node.json}",
      ) }) if anytrue([
      try(node.value < local.rules[node.rule].minimum, false),
      try(node.value > local.rules[node.rule].maximum, false),
      try(node.value <= local.rules[node.rule].exclusiveMinimum, false),
    ])],

    [for node in local._strings : merge(node, { says = "must not be empty" })
    if try(length(node.value) < local.rules[node.rule].minLength, false)],
    [for node in local._strings : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      "must have at most ${local.rules[node.rule].maxLength} characters, not ${length(node.value)}",
    ) }) if try(length(node.value) > local.rules[node.rule].maxLength, false)],
    [for node in local._strings : merge(node, { says = "${node.json} does not fit: ${local.rules[node.rule].patternErrorMessage}" })
    if try(length(regexall(local.rules[node.rule].pattern, node.value)) == 0, false)],
    [for node in local._strings : merge(node, { says = local.rules[node.rule].not.errorMessage })
    if try(length(regexall(local.rules[node.rule].not.pattern, node.value)) > 0, false)],

    [for node in local._arrays : merge(node, { says = try(local.rules[node.rule].errorMessage, "must not be empty") })
    if try(length(node.value) < local.rules[node.rule].minItems, false)],
    [for node in local._arrays : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      "must have at most ${local.rules[node.rule].maxItems} entries, not ${length(node.value)}",
    ) }) if try(length(node.value) > local.rules[node.rule].maxItems, false)],
    [for node in local._arrays : merge(node, { says = "has an entry twice" })
    if try(local.rules[node.rule].uniqueItems && length(distinct(node.value)) < length(node.value), false)],

    [for node in local._objects : merge(node, { says = local.rules[node.rule].errorMessage })
    if try(length(node.value) < local.rules[node.rule].minProperties, false)],
    [for node in local._objects : merge(node, { says = try(
      local.rules[node.rule].errorMessage,
      "must have at most ${local.rules[node.rule].maxProperties} entries, not ${length(node.value)}",
    ) }) if try(length(node.value) > local.rules[node.rule].maxProperties, false)],

    [for node in local._free_keys : merge(node, { says = local.rules[node.parent].propertyNames.patternErrorMessage }) if anytrue([
      try(length(regexall(local.rules[node.parent].propertyNames.pattern, node.key)) == 0, false),
      try(length(node.key) > local.rules[node.parent].propertyNames.maxLength, false),
    ])],
    [for node in local._free_keys : merge(node, { says = local.rules[node.parent].propertyNames.not.errorMessage })
    if try(length(regexall(local.rules[node.parent].propertyNames.not.pattern, node.key)) > 0, false)],
  )

  structure_problems = concat(
    [for node in local._broken_rules : {
      path = node.path
      at   = node.path
      # Terraform's JSON escapes what would be special in HTML.
      message = replace(replace(replace(node.says, "\\u003c", "<"), "\\u003e", ">"), "\\u0026", "&")
    }],
    flatten([for node in local._objects : [
      for key in try(local.rules[node.rule].required, []) :
      { path = node.path, at = node.path, message = "the field \"${key}\" is missing" } if !can(node.value[key])
    ]]),
    [for node in local._unknown : {
      path = trimsuffix(trimsuffix(node.path, node.key), ".")
      at   = node.path
      message = join("", concat(
        ["unknown field \"${node.key}\""],
        slice(concat(
          node.parent == "/defaults" && can(local.rules_of_keys["model"][node.key]) ? [": every model has its own"] : [],
          [for known in local._same_names[node.parent][node.key] : " (did you mean \"${known}\"?)"],
          [" (known: ${join(", ", keys(local.rules_of_keys[node.parent]))})"],
        ), 0, 1),
      ))
    }],
  )

  # The fields that an unknown one may stand for, the likeliest first: the same letters, one letter more, less or other
  # or two swapped (then they are the same with one letter left out of each), or the beginning of one another.
  _unknown = [for node in local._nodes : node if node.rule == null]
  _same_names = { for parent, keys_of_parent in { for node in local._unknown : node.parent => node.key... } : parent => {
    for key in distinct(keys_of_parent) : key => flatten([
      for likeness in ["same", "one letter", "beginning"] : [
        for known in keys(local.rules_of_keys[parent]) : known if anytrue([
          likeness == "same" && local._letters[known] == local._letters[key],
          likeness == "one letter" && length(setintersection(local._shortened[known], local._shortened[key])) > 0,
          likeness == "beginning" && length(key) > 2 && (startswith(known, key) || startswith(key, known)),
        ])
      ]
    ])
  } }
  _letters = { for name in distinct(concat(
    [for node in local._unknown : node.key], flatten([for id, children in local.rules_of_keys : keys(children)]),
  )) : name => replace(lower(name), "/[^a-z0-9]/", "") }
  _shortened = { for name, letters in local._letters : name => toset(concat([letters], [
    for index in range(min(length(letters), 40)) : "${substr(letters, 0, index)}${substr(letters, index + 1, -1)}"
  ])) }
}
