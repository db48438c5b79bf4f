# The samples that prove a new version, and the call that sends them to the function (functions/inference/check.py).

locals {
  # Samples that break their own rule are null.
  _samples = { for name, model in local.merged : name => try([for sample in model.smoke : sample], []) }

  _checks = { for name, samples in local._samples : name => jsonencode({ modelyard_check = { samples = [
    for sample in samples : {
      file = sample.file
      # Reading a pipe would never end.
      body        = try([for path in [local._artifact_paths[sample.file]] : filebase64(path) if fileexists(path)][0], "")
      predictions = try([{ label = sample.label }], sample.predictions, null)
      tolerance   = try(sample.tolerance, local.rules["sample/tolerance"].default)
    }
  ] } }) }

  # Four characters of base64 are three bytes.
  _check_bytes = { for name, check in local._checks : name => floor(length(replace(base64encode(check), "=", "")) * 3 / 4) }

  smoke_problems = flatten([for name, samples in local._samples : concat(
    [for check in [
      {
        fails = local._check_bytes[name] > local._limits.check_bytes
        says  = "the call that checks the samples would have ${local._check_bytes[name]} bytes, but may have at most ${local._limits.check_bytes}; a file takes a third more space in it than on disk, so use fewer or smaller samples"
      },
    ] : { path = "models.${name}.smoke", at = "models.${name}.smoke", message = check.says } if check.fails],
    flatten([for index, sample in samples : [
      for check in [
        {
          fails = local.artifacts[sample.file].kind == "missing"
          field = "file"
          says  = "\"${sample.file}\" does not exist; the path is relative to the registry's folder"
        },
        {
          fails = local.artifacts[sample.file].kind == "folder"
          field = "file"
          says  = "\"${sample.file}\" is not a regular file (a folder or pipe, say); a sample is one file"
        },
        {
          fails = local.artifacts[sample.file].kind == "file" && length(local.artifacts[sample.file].unreadable) > 0
          field = "file"
          says  = "cannot read \"${sample.file}\""
        },
        {
          fails = can(sample.label) && can(sample.predictions)
          field = "label"
          says  = "is given together with predictions, which contains the labels; leave one of them out"
        },
        {
          fails = can(sample.label) && local.merged[name].hooks == null && try(!contains(split("\n", local._labels[name]), sample.label), false)
          field = "label"
          says  = try("\"${sample.label}\" is not a line of \"${local.merged[name]["output.labels"]}\", so no prediction has it", "")
        },
        {
          fails = can(sample.label) && local.merged[name]["output.labels"] == null && local.merged[name].hooks == null && !can(local._broken_leaves["models.${name}/output.labels"])
          field = "label"
          says  = "needs output.labels, or hooks that return labels: without them, a prediction is the raw output"
        },
      ] : { path = "models.${name}.smoke[${index}].${check.field}", at = "models.${name}.smoke[${index}].${check.field}", message = check.says } if check.fails
    ]]),
  )])
}
