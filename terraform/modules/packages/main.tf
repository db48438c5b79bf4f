# Reads the manifest that `modelctl package` wrote and says what each model runs from. Without a provider, so that its
# checks are tested in milliseconds. In: the manifest and what the models need. Out: the files to upload, and by model
# its image, code and layer. All problems are told at once.

locals {
  _written  = fileexists(var.manifest_file)
  _raw      = try(jsondecode(file(var.manifest_file)), {})
  _readable = try(local._raw.manifest_version == 1, false)

  # Without a usable manifest, these defaults and _missing keep everything that reads it free of errors: people see the
  # problem and nothing that follows from it, and `terraform destroy`, which no precondition stops, gets through.
  _manifest = merge(
    { target = "", python = "3.13", sources = "", code = {}, layers = {} },
    try({ for key, value in local._raw : key => value if local._readable }, {}),
  )
  _missing = { file = "missing.zip", sha256 = "" }
  _dir     = dirname(var.manifest_file)

  # The same lines that `modelctl package` hashes: what was built from other sources is not what would run.
  _sources = sha256(join("", [
    for path in sort(fileset(var.functions_dir, "**/*.{py,txt,json}")) : "${filesha256("${var.functions_dir}/${path}")}  ${path}\n"
  ]))

  # Layers and zip together may be 250 MB: on AWS, what is larger needs an image. On the local stack there is no such
  # limit, and its code names an environment to run in.
  _runtimes = jsondecode(file("${var.functions_dir}/inference/runtimes.json"))

  models = {
    for name, model in var.models : name => (
      contains(keys(var.runtime_images), model.runtime) ? { image_uri = var.runtime_images[model.runtime], code = null, layer = null } :
      contains(keys(local._manifest.code), "inference-${model.runtime}") ? { image_uri = null, code = "inference-${model.runtime}", layer = null } :
      { image_uri = null, code = "inference", layer = local._runtimes[model.runtime].package == "image" ? null : "${model.runtime}-${model.architecture}" }
    )
  }

  code = {
    for name in distinct(concat(["weights_sync"], compact(values(local.models)[*].code))) : name => {
      path   = "${local._dir}/${lookup(local._manifest.code, name, local._missing).file}"
      sha256 = lookup(local._manifest.code, name, local._missing).sha256
      # As Lambda reports it: in base64.
      code_sha256 = try(filebase64sha256("${local._dir}/${lookup(local._manifest.code, name, local._missing).file}"), null)
    }
  }

  # Several models share a layer; what it is for is the same for all of them.
  _layer_users = { for name, model in var.models : local.models[name].layer => model... if local.models[name].layer != null }
  layers = {
    for name, users in local._layer_users : name => {
      runtime      = users[0].runtime
      architecture = users[0].architecture
      path         = "${local._dir}/${try(local._manifest.layers[users[0].runtime][users[0].architecture], local._missing).file}"
      sha256       = try(local._manifest.layers[users[0].runtime][users[0].architecture], local._missing).sha256
    }
  }

  _run = "run `.venv/bin/modelctl package${var.local_stack ? "" : " --target aws"}`"

  _manifest_problems = compact([
    local._written ? null : "${var.manifest_file} does not exist: ${local._run}",
    local._readable || !local._written ? null : "${var.manifest_file} is not a manifest of version 1: ${local._run}",
    !local._readable || (local._manifest.target == "local") == var.local_stack ? null :
    "the packages were built for ${local._manifest.target == "local" ? "the local stack, and this is AWS" : "AWS, and this is the local stack"}: ${local._run}",
    !local._readable || local._manifest.sources == local._sources ? null : "the packages are stale, functions/ was changed since they were built: ${local._run}",
  ])

  # Only of a manifest that is itself in order: anything else follows from what is wrong with it.
  _package_problems = length(local._manifest_problems) > 0 ? [] : concat(
    [
      for name, model in var.models : var.local_stack ?
      "models.${name}: the packages hold nothing for the runtime ${model.runtime}: ${local._run}" :
      "models.${name}: the runtime ${model.runtime} is too large for a layer and needs a container image: run `.venv/bin/modelctl image ${model.runtime} --repository <your ECR repository>`, then set runtime_images = { ${model.runtime} = \"<the image's URI>\" }"
      if local.models[name].code == "inference" && local.models[name].layer == null
    ],
    [
      for name, model in var.models : "models.${name}: the image of the runtime ${model.runtime} is built for x86_64 (`modelctl image`): leave out architecture: ${model.architecture}"
      if local.models[name].image_uri != null && model.architecture != "x86_64"
    ],
    [
      for name, model in var.models : "models.${name}: the packages hold no layer of the runtime ${model.runtime} for ${model.architecture}: ${local._run}"
      if local.models[name].layer != null && try(local._manifest.layers[model.runtime][model.architecture], null) == null
    ],
    [
      for name in keys(local.code) : "the packages hold no code ${name}: ${local._run}"
      if !contains(keys(local._manifest.code), name)
    ],
    [
      for package in concat(values(local.code), values(local.layers)) : "${package.path} does not exist: ${local._run}"
      if package.sha256 != "" && !fileexists(package.path)
    ],
  )

  problems = concat(local._manifest_problems, local._package_problems)
}
