# Rules that the schema cannot express: about two fields together, about two models, or about AWS's limits.

locals {
  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
  _limits = {
    name_characters   = 64
    environment_bytes = 4096
    # https://docs.aws.amazon.com/general/latest/gr/s3.html (not adjustable)
    notifications = 100
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    pattern_characters = 2048
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (inline policies of a role, in all)
    policy_characters = 10240
    payload_bytes     = 6291456
    # This platform's own: the samples are in plans and in the state.
    check_bytes = 262144
  }

  # The whole environment as Lambda measures it, as JSON; the name of a bucket has at most 63 characters. Four characters
  # of base64 are three bytes, where `length` would count characters.
  _environment_bytes = { for name, variables in local.variables : name => floor(length(replace(base64encode(jsonencode(
    merge(variables, { MODELYARD_RESULTS = format("%063d", 0) }),
  )), "=", "")) * 3 / 4) }

  # The policy of a role lists each prefix with each suffix, in quotes and with a comma, here with the longest region and
  # partition. All its other statements together have less than 1,500 characters.
  _policy_characters = { for name, model in local.merged : name => 1500 + sum(concat([0], try([
    for key in setproduct(model["route.prefixes"], concat(model["route.suffixes"], length(model["route.suffixes"]) == 0 ? [""] : [])) :
    length("'arn:aws-us-gov:s3:::${var.name_prefix}-inputs-000000000000-ap-southeast-1/${key[0]}*${key[1]}',")
  ], []))) }

  _tag_names = { for name, model in local.merged : name => [
    for tag in concat(["modelyard", "model", "name"], [for key in keys(model) : trimprefix(key, "tags.") if startswith(key, "tags.")]) : lower(tag)
  ] }

  # Fields that the schema marks with `x-only-with`, because they apply only to images, or only with labels.
  _only_with = { for what, section in { image = "input", labels = "output" } : what => [
    for field, id in local.rules_of_keys[section] : field if try(local.rules[id]["x-only-with"] == what, false)
  ] }

  # Channels of a pixel by mode; without a mode, the model's signature decides.
  _channels = { L = [1], RGB = [3], RGBA = [4], any = [1, 3, 4] }

  # A value that breaks its own rule is null here. A comparison with it fails to evaluate, so it is not reported twice.
  model_problems = flatten([for name, model in local.merged : [
    for check in concat([
      {
        fails = !can(model.runtime)
        field = ""
        says  = "the field \"runtime\" is missing; give it here or in the defaults"
      },
      {
        fails = length(local.names[name].function) > local._limits.name_characters
        field = ""
        says  = "the function's name ${local.names[name].function} would have more than ${local._limits.name_characters} characters; shorten the model's name"
      },
      {
        fails = can(local._models_by_dead_letter_queue[local.names[name].queue])
        field = ""
        says  = try("its queue would have the name of the dead-letter queue of model \"${local._models_by_dead_letter_queue[local.names[name].queue]}\"; choose another name", "")
      },
      {
        fails = try(length(model["input.mean"]) != length(model["input.std"]), false)
        field = ".input.std"
        says  = try("must have as many numbers as input.mean, ${length(model["input.mean"])}, not ${length(model["input.std"])}", "")
      },
      {
        fails = try(model["input.background"] != null && model["input.mode"] == "RGBA", false)
        field = ".input.background"
        says  = "must be left out with mode RGBA, where transparency is a channel"
      },
      {
        fails = try(model["batch.size"] > 10 && model["batch.window_s"] < 1, false)
        field = ".batch.window_s"
        says  = "must be at least 1 if batch.size is more than 10"
      },
      {
        fails = try(model["concurrency.reserved"] < model["concurrency.maximum"], false)
        field = ".concurrency.reserved"
        says  = "must be at least concurrency.maximum (${format("%v", model["concurrency.maximum"])}), not ${format("%v", model["concurrency.reserved"])}: otherwise, the queue's calls would be throttled, which uses up retries"
      },
      {
        fails = local._environment_bytes[name] > local._limits.environment_bytes
        field = ".env"
        says  = "the environment would have ${local._environment_bytes[name]} bytes, including the platform's own variables, which contain route, input, output, limits and batch.rows; Lambda allows ${local._limits.environment_bytes}"
      },
      {
        # The deployment's own tags are Modelyard, Model and Name.
        fails = length(local._tag_names[name]) > length(distinct(local._tag_names[name]))
        field = ".tags"
        says  = "a tag differs only in case from another one, or from the platform's own (Modelyard, Model, Name), and to IAM, both are the same tag; rename it"
      },
      {
        fails = local._policy_characters[name] > local._limits.policy_characters
        field = ".route"
        says  = "the role's policy, which names each prefix with each suffix, would have about ${local._policy_characters[name]} characters; IAM allows ${local._limits.policy_characters}, so use fewer or shorter ones"
      },
      ], [for field in local._only_with.image :
      {
        fails = model["input.${field}"] != null && model["input.format"] != null && model["input.format"] != "image"
        field = ".input.${field}"
        says  = "is only for format image; leave it out"
      }
      ], [for field in ["mean", "std"] :
      {
        fails = try(!contains(local._channels[coalesce(model["input.mode"], "any")], length(model["input.${field}"])), false)
        field = ".input.${field}"
        says = try(format("must have one number per channel, %s%s, not %d",
          join(" or ", local._channels[coalesce(model["input.mode"], "any")]),
          model["input.mode"] == null ? "" : " with mode ${model["input.mode"]}",
          length(model["input.${field}"]),
        ), "")
      }
      ], [for field in local._only_with.labels :
      {
        fails = model["output.${field}"] != null && model["output.labels"] == null && !can(local._broken_leaves["models.${name}/output.labels"])
        field = ".output.${field}"
        says  = "needs output.labels: without labels, a prediction is the raw output"
      }
      ], [for field in ["bytes", "decompressed_bytes"] :
      {
        fails = try(model["limits.${field}"] > model.memory_mb * 1048576 / 2, false)
        field = ".limits.${field}"
        says  = try("must be at most half of the function's memory, ${model.memory_mb * 1048576 / 2} bytes, not ${model["limits.${field}"]}; raise memory_mb", "")
      }
    ]) : { path = "models.${name}${check.field}", at = "models.${name}${check.field}", message = check.says } if check.fails
  ]])

  # Some have extra attributes for `modelctl validate`, so this is a tuple: a list could not contain all of them.
  _problems = concat(
    [for file, message in local.file_problems : { file = file, path = "", at = "", message = message }],
    local.folder_problems,
    [for problem in concat(
      local.structure_problems, local.duplicate_problems, local.model_problems, local.artifact_problems,
      local.hooks_problems, local.smoke_problems, local.route_problems,
    ) : problem if length(local.file_problems) == 0],
  )
  # The file of each problem: that of its model, unless the problem names one.
  _located = { for kind, problems in { registry = local._problems, account = local.quota_problems } : kind => [
    for problem in problems : merge({ file = concat([var.registry_file], [
      for name, files in local._files_by_model : files[0] if startswith("${problem.path}.", "models.${name}.")
    ])[length([for name in keys(local._files_by_model) : name if startswith("${problem.path}.", "models.${name}.")])] }, problem)
  ] }
  # Sorted by path. A problem that is found twice is reported once.
  problems = [for found in values({ for problem in local._located.registry : "${problem.file} ${problem.at} ${problem.message}" => problem... }) : found[0]]
}
