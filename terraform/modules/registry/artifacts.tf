# The files of each model: its artifact, its hooks, and its samples (smoke.tf). Files that several models share are read once.

locals {
  # What each runtime is.
  runtimes = jsondecode(file("${path.module}/../../../functions/inference/runtimes.json"))

  _artifact_paths = {
    for artifact in toset(flatten([for name, model in local.merged : concat(
      [for field in ["artifact", "hooks"] : model[field] if try(length(model[field]) > 0, false)],
      local._samples[name][*].file,
    )])) :
    artifact => startswith(artifact, "/") ? artifact : "${dirname(var.registry_file)}/${artifact}"
  }

  # `fileexists` fails for folders, and for anything else that is not a regular file.
  _artifact_kinds = { for artifact, path in local._artifact_paths : artifact => try(fileexists(path) ? "file" : "missing", "folder") }

  # `fileset` reads the folder's own path as a pattern, too. So special characters are replaced by `?`; files that this finds
  # outside the folder are left out. The names that it returns are relative to /.
  _artifact_folders = { for artifact, path in local._artifact_paths : artifact => trimprefix("${trimsuffix(abspath(path), "/")}/", "/") }
  _artifact_names = { for artifact, folder in local._artifact_folders : artifact => [
    for file in try(fileset("/", "${replace(folder, "/[*?\\[\\]{}\\\\]/", "?")}**"), []) : trimprefix(file, folder) if startswith(file, folder)
  ] if local._artifact_kinds[artifact] == "folder" }

  # The source of each file by its path in the artifact. Hidden files belong to the desktop or git, not to the model.
  _artifact_sources = { for artifact, path in local._artifact_paths : artifact => {
    for file in(local._artifact_kinds[artifact] == "folder" ? local._artifact_names[artifact] : [basename(path)]) :
    file => local._artifact_kinds[artifact] == "folder" ? "${trimsuffix(path, "/")}/${file}" : path
    if local._artifact_kinds[artifact] == "file" || (local._artifact_kinds[artifact] == "folder" && !can(regex("(^|/)\\.", file)))
  } }
  _sha256 = { for artifact, sources in local._artifact_sources : artifact => { for file, source in sources : file => try(filesha256(source), null) } }

  # What runtimes.json calls each file at the top of an artifact: by its name, as a part of a SavedModel, or its suffix.
  _named_kinds = [for kind in flatten(values(local.runtimes)[*].files) : kind if !startswith(kind, ".")]
  _model_file_kinds = { for artifact, files in local._sha256 : artifact => {
    for file in keys(files) : file => contains(local._named_kinds, file) ? file : try(regex("\\.[^.]+$", file), "") if !strcontains(file, "/")
  } }

  artifacts = { for artifact, files in local._sha256 : artifact => {
    kind       = local._artifact_kinds[artifact]
    files      = { for file, sha256 in files : file => { sha256 = sha256, source = local._artifact_sources[artifact][file] } }
    unreadable = [for file, sha256 in files : file if sha256 == null]
    # The files that each runtime would load.
    models = { for runtime, it in local.runtimes : runtime => [
      for file, kind in local._model_file_kinds[artifact] : file if contains(it.files, kind)
    ] }
    summary = join(", ", concat(slice(keys(files), 0, min(5, length(files))), length(files) > 5 ? ["…"] : []))
  } }

  _with_artifact = { for name, model in local.merged : name => local.artifacts[model.artifact] if can(local.artifacts[model.artifact]) }

  # The name that the function looks for (functions/inference/predictor.py). Hidden files are left out of artifacts, so no
  # other file has it.
  hooks_file = ".hooks.py"
  _files = { for name, artifact in local._with_artifact : name => merge(artifact.files, {
    for hooks in [local.merged[name].hooks] : local.hooks_file => values(local.artifacts[hooks].files)[0] if try(local.artifacts[hooks].kind == "file", false)
  }) }
  _digests = { for name, files in local._files : name => sha256(join("", [
    for path, file in files : format("%s  %s\n", coalesce(file.sha256, "unreadable"), path)
  ])) }

  # The file that the model's runtime would load; several are a problem.
  _model_files = { for name, artifact in local._with_artifact : name => try(
    [for file in artifact.models[local.merged[name].runtime] : artifact.files[file].source], [],
  ) }

  # The labels of each model, with a line feed between two, as the function splits them (functions/inference/predictions.py);
  # null for a file that is not UTF-8 text.
  _labels = { for name, artifact in local._with_artifact : name => try(replace(
    replace(trimprefix(file(artifact.files[local.merged[name]["output.labels"]].source), "\ufeff"), "/\r\n?/", "\n"),
    "/(\n[ \t]*)+$/", "",
  ), null) if can(artifact.files[local.merged[name]["output.labels"]].source) }

  # What one call of weights_sync is given (modules/model/main.tf); four characters of base64 are three bytes.
  _publication_bytes = { for name, files in local._files : name => floor(length(replace(base64encode(jsonencode({
    model = name, digest = local._digests[name], files = { for path, file in files : path => file.sha256 }
  })), "=", "")) * 3 / 4) }

  hooks_problems = flatten([for name, model in local.merged : [
    for check in [
      {
        fails = local.artifacts[model.hooks].kind == "missing"
        says  = "\"${model.hooks}\" does not exist; the path is relative to the registry's folder"
      },
      {
        fails = local.artifacts[model.hooks].kind == "folder"
        says  = "\"${model.hooks}\" is not a regular file (a folder or pipe, say); hooks are one Python file"
      },
      {
        fails = local.artifacts[model.hooks].kind == "file" && length(local.artifacts[model.hooks].unreadable) > 0
        says  = "cannot read \"${model.hooks}\""
      },
    ] : { path = "models.${name}.hooks", at = "models.${name}.hooks", message = check.says } if check.fails
  ] if model.hooks != null])

  artifact_problems = flatten([for name, artifact in local._with_artifact : [
    for check in [
      {
        fails = artifact.kind == "missing"
        field = "artifact"
        says  = "\"${local.merged[name].artifact}\" does not exist; the path is relative to the registry's folder"
      },
      {
        fails = artifact.kind == "folder" && length(artifact.files) == 0
        field = "artifact"
        says  = "\"${local.merged[name].artifact}\" contains no files"
      },
      {
        # Terraform accepts such a name, but its state is JSON, and a key in S3 must be text as well.
        fails = anytrue([for file in keys(artifact.files) : jsondecode(jsonencode(file)) != file])
        field = "artifact"
        says  = "contains a file whose name is not UTF-8 text; rename ${join(", ", [for file in keys(artifact.files) : jsondecode(jsonencode(file)) if jsondecode(jsonencode(file)) != file])}"
      },
      {
        fails = local._publication_bytes[name] > local._limits.payload_bytes
        field = "artifact"
        says  = "has ${length(artifact.files)} files, whose names and checksums take ${local._publication_bytes[name]} bytes; Lambda accepts ${local._limits.payload_bytes} in the one call that publishes them, so put the model into fewer files, or give them shorter names"
      },
      {
        fails = length(artifact.unreadable) > 0
        field = "artifact"
        says  = "cannot read ${join(", ", artifact.unreadable)}"
      },
      {
        fails = length(artifact.files) > 0 && try(length(artifact.models[local.merged[name].runtime]) == 0, false)
        field = "artifact"
        says = try(format("no model file: runtime %s takes %s, at the top of the artifact; found %s%s",
          local.merged[name].runtime, local.runtimes[local.merged[name].runtime].takes, artifact.summary,
          join("", [for other, files in artifact.models : " (${files[0]} is for runtime ${other})" if length(files) > 0]),
        ), "")
      },
      {
        fails = try(length(artifact.models[local.merged[name].runtime]) > 1, false)
        field = "artifact"
        says  = try("more than one model file: ${join(", ", artifact.models[local.merged[name].runtime])}; keep one of them", "")
      },
      {
        fails = try(!contains(["", local.rules.signature.default], local.merged[name].signature) && !contains(
          local.runtimes[local.merged[name].runtime].signatures,
          local._model_file_kinds[local.merged[name].artifact][one(artifact.models[local.merged[name].runtime])],
        ), false)
        field = "signature"
        says  = try("${artifact.models[local.merged[name].runtime][0]} has no named signatures, so \"${local.merged[name].signature}\" is not in it; leave the field out", "")
      },
      {
        fails = length(artifact.files) > 0 && try(!can(artifact.files[local.merged[name]["output.labels"]]) && local.merged[name]["output.labels"] != null, false)
        field = "output.labels"
        says  = try("\"${local.merged[name]["output.labels"]}\" is not in the artifact; found ${artifact.summary}", "")
      },
      {
        # A file that cannot be read is already a problem of the artifact.
        fails = try(local._labels[name] == null && artifact.files[local.merged[name]["output.labels"]].sha256 != null, false)
        field = "output.labels"
        says  = try("\"${local.merged[name]["output.labels"]}\" is not UTF-8 text; save it as UTF-8", "")
      },
      {
        fails = try(trim(local._labels[name], " \t") == "", false)
        field = "output.labels"
        says  = try("\"${local.merged[name]["output.labels"]}\" is empty; expected one label per line", "")
      },
    ] : { path = "models.${name}.${check.field}", at = "models.${name}.${check.field}", message = check.says } if check.fails
  ]])
}
