# Which uploads go to which model. Prefixes are whole folders, so of two that overlap one is a folder above the other:
# every prefix needs to be compared with its own folders only, not with all other prefixes.

locals {
  _prefixes = flatten([for name, model in local.merged : [
    for prefix in model["route.prefixes"] : { model = name, prefix = prefix }
  ] if model["route.prefixes"] != null && model["route.suffixes"] != null])
  _models_by_prefix = { for entry in local._prefixes : entry.prefix => entry.model... }

  _folders = { for prefix in keys(local._models_by_prefix) : prefix => [
    for depth in range(1, length(split("/", prefix)) - 1) : "${join("/", slice(split("/", prefix), 0, depth))}/"
  ] }

  # S3 refuses two notifications of which one prefix begins with the other and one suffix ends with the other.
  _overlaps = flatten([for entry in local._prefixes : [
    for folder in local._folders[entry.prefix] : [
      for other in distinct(try(local._models_by_prefix[folder], [])) : {
        model  = entry.model
        prefix = entry.prefix
        other  = other
        folder = folder
        } if anytrue(flatten([
          for suffix in concat(local.merged[entry.model]["route.suffixes"], length(local.merged[entry.model]["route.suffixes"]) == 0 ? [""] : []) : [
            for other_suffix in concat(local.merged[other]["route.suffixes"], length(local.merged[other]["route.suffixes"]) == 0 ? [""] : []) :
            endswith(suffix, other_suffix) || endswith(other_suffix, suffix)
          ]
      ]))
    ]
  ]])

  route_problems = concat(
    flatten([for prefix, models in local._models_by_prefix : [
      for model in slice(distinct(models), 1, length(distinct(models))) : {
        path    = "models.${model}.route.prefixes"
        at      = "models.${model}.route.prefixes"
        message = "\"${prefix}\" is a prefix of model \"${models[0]}\" already; give every model prefixes of its own"
      }
    ]]),
    [for overlap in local._overlaps : {
      path = "models.${overlap.model}.route.prefixes"
      at   = "models.${overlap.model}.route.prefixes"
      message = format("\"%s\" lies under \"%s\" of %s, so an upload could fit both; choose another prefix, or suffixes that differ",
      overlap.prefix, overlap.folder, overlap.other == overlap.model ? "the same model" : "model \"${overlap.other}\"")
    }],
    flatten([for name, model in local.merged : [
      for suffix in model["route.suffixes"] : [
        for other in model["route.suffixes"] : {
          path    = "models.${name}.route.suffixes"
          at      = "models.${name}.route.suffixes"
          message = "\"${suffix}\" ends with \"${other}\", which takes the same uploads; leave the longer one out"
        } if endswith(suffix, other) && suffix != other
      ]
    ] if model["route.suffixes"] != null]),
  )
}
