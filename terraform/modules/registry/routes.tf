# Which uploads go to which model. Prefixes are whole folders, so if two overlap, one is a parent folder of the other: each
# prefix needs to be compared only with its own parent folders, not with all other prefixes.

locals {
  _prefixes = flatten([for name, model in local.merged : [
    for prefix in model["route.prefixes"] : { model = name, prefix = prefix }
  ] if model["route.prefixes"] != null && model["route.suffixes"] != null])
  _models_by_prefix = { for entry in local._prefixes : entry.prefix => entry.model... }

  _folders = { for prefix in keys(local._models_by_prefix) : prefix => [
    for depth in range(1, length(split("/", prefix)) - 1) : "${join("/", slice(split("/", prefix), 0, depth))}/"
  ] }

  # S3 refuses two notifications if one prefix begins with the other and one suffix ends with the other.
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
        message = "\"${prefix}\" is already a prefix of model \"${models[0]}\"; give each model its own prefixes"
      }
    ]]),
    [for overlap in local._overlaps : {
      path = "models.${overlap.model}.route.prefixes"
      at   = "models.${overlap.model}.route.prefixes"
      message = format("\"%s\" is inside \"%s\" of %s, so an upload could match both; choose another prefix, or suffixes that differ",
      overlap.prefix, overlap.folder, overlap.other == overlap.model ? "the same model" : "model \"${overlap.other}\"")
    }],
    flatten([for name, model in local.merged : [
      for suffix in model["route.suffixes"] : [
        for other in model["route.suffixes"] : {
          path    = "models.${name}.route.suffixes"
          at      = "models.${name}.route.suffixes"
          message = "\"${suffix}\" ends with \"${other}\", which matches the same uploads; leave the longer one out"
        } if endswith(suffix, other) && suffix != other
      ]
    ] if model["route.suffixes"] != null]),
  )

  _by_notification = contains(["notification", "both"], var.event_way)
  _by_rules        = contains(["eventbridge", "both"], var.event_way)

  # S3 has no "or": each prefix with each suffix is a separate notification.
  _notifications = sum(concat([0], [for name, model in local.merged : length(model["route.prefixes"]) * max(1, length(model["route.suffixes"]))
  if model["route.prefixes"] != null && model["route.suffixes"] != null]))
  # The pattern of a model's rule (modules/routing), in an inputs bucket whose name is as long as it can be.
  _pattern_characters = { for name, prefixes in { for entry in local._prefixes : entry.model => entry.prefix... } : name => length(jsonencode({
    source = ["aws.s3"], detail-type = ["Object Created"]
    detail = { bucket = { name = [format("%063d", 0)] }, object = { key = [for prefix in prefixes : { prefix = prefix }] } }
  })) }

  _deployments = "spread the models over several deployments, each with its own `name`, registry and state"

  # Routes that S3 or EventBridge could not announce (var.event_way).
  way_problems = concat(
    [for count in [local._notifications] :
      {
        path    = "models"
        message = "need ${count} notifications of the inputs bucket, one for each prefix with each suffix, but S3 allows ${local._limits.notifications} per bucket. Use fewer suffixes or prefixes. Or let EventBridge announce uploads: apply event_way = \"both\" with a registry that still fits; ten minutes later, apply event_way = \"eventbridge\" with this one. A new deployment can use event_way = \"eventbridge\" at once. Or ${local._deployments}"
      } if local._by_notification && count > local._limits.notifications
    ],
    [for count in [length(local.merged)] :
      {
        path    = "models"
        message = "need ${count} EventBridge rules, one per model, but this account may have ${local.quotas.rules} per event bus, including other rules. Request more (Service Quotas: Amazon EventBridge, Number of rules, L-244521F2), or ${local._deployments}, in other regions or accounts"
      } if local._by_rules && count > local.quotas.rules
    ],
    [for name, count in local._pattern_characters :
      {
        path    = "models.${name}.route.prefixes"
        message = "make the pattern of the model's EventBridge rule ${count} characters long, but EventBridge allows ${local._limits.pattern_characters}; use fewer or shorter prefixes"
      } if local._by_rules && count > local._limits.pattern_characters
    ],
  )
}
