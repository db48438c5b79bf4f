# Reads the manifest of `modelctl package` and `modelctl image`, and decides what each model runs from. It has no provider, so
# that its checks are tested in milliseconds. In: the manifest and what the models need. Out: the files to upload, and by
# model its image, code and layer. All problems are reported at once.

locals {
  _written  = fileexists(var.manifest_file)
  _raw      = try(jsondecode(file(var.manifest_file)), {})
  _readable = try(local._raw.manifest_version == 1, false)

  # Without a usable manifest, these defaults and _missing keep the other expressions free of errors: people see the problem
  # and not its consequences, and `terraform destroy`, which no precondition stops, succeeds.
  _manifest = merge(
    { target = "", python = "3.13", sources = "", code = {}, layers = {}, images = {} },
    try({ for key, value in local._raw : key => value if local._readable }, {}),
  )
  _missing = { file = "missing.zip", sha256 = "" }
  _dir     = dirname(var.manifest_file)

  # The same lines that `modelctl package` hashes: packages that were built from other sources are stale.
  _sources = sha256(join("", [
    for path in sort(fileset(var.functions_dir, "**/*.{py,txt,json}")) : "${filesha256("${var.functions_dir}/${path}")}  ${path}\n"
  ]))

  # Layers and zip together may have 250 MB: on AWS, larger functions need an image. The local stack has no such limit; its
  # code packages name an environment to run in.
  _runtimes = jsondecode(file("${var.functions_dir}/inference/runtimes.json"))

  # By "<runtime>-<architecture>", the images that models need; the local stack needs none.
  _image_users = {
    for name, model in var.models : "${model.runtime}-${model.architecture}" => merge(model, { name = name })...
    if !var.local_stack && (local._runtimes[model.runtime].package == "image" || contains(keys(var.runtime_images), model.runtime))
  }
  _images = {
    for key, users in local._image_users : key => {
      runtime      = users[0].runtime
      architecture = users[0].architecture
      models       = join(", ", [for user in users : "models.${user.name}"])
      given        = contains(keys(var.runtime_images), users[0].runtime)
      uri          = try(var.runtime_images[users[0].runtime], local._manifest.images[users[0].runtime][users[0].architecture].uri, null)
    }
  }
  _image_form = "^[0-9]{12}\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/[^:@]+@(sha256:[0-9a-f]{64})$"
  _image_parts = {
    for key, image in local._images : key => try(regex(local._image_form, image.uri), [null, null])
  }
  # What `modelctl image` recorded about each image. The digest identifies an image, whichever repository a copy is in.
  _image_records = {
    for key, image in local._images : key => [
      for architecture, record in try(local._manifest.images[image.runtime], {}) : merge(record, { architecture = architecture })
      if endswith(record.uri, "@${coalesce(local._image_parts[key][1], "-")}")
    ]
  }
  # The same lines that `modelctl image` hashes.
  _image_sources = {
    for runtime in distinct(values(local._images)[*].runtime) : runtime => sha256(join("", [
      for path in sort(setunion(
        fileset(var.functions_dir, "inference/**/*.{py,json}"),
        fileset(var.functions_dir, "inference/requirements/${runtime}.txt"),
        fileset(var.functions_dir, "inference/Dockerfile"),
      )) : "${filesha256("${var.functions_dir}/${path}")}  ${path}\n"
    ]))
  }

  models = {
    for name, model in var.models : name => (
      try(local._images["${model.runtime}-${model.architecture}"].uri, null) != null ? { image_uri = local._images["${model.runtime}-${model.architecture}"].uri, code = null, layer = null } :
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

  # Models that share a layer have the same runtime and architecture.
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
  _build = {
    for key, image in local._images : key =>
    "run `.venv/bin/modelctl image ${image.runtime} --architecture ${image.architecture} --repository <your ECR repository in ${var.region}>`${image.given ? ", and leave ${image.runtime} out of runtime_images" : ""}"
  }

  _manifest_problems = compact([
    local._written ? null : "${var.manifest_file} does not exist: ${local._run}",
    local._readable || !local._written ? null : "${var.manifest_file} is not a manifest of version 1: ${local._run}",
    !local._readable || (local._manifest.target == "local") == var.local_stack ? null :
    "the packages were built for ${local._manifest.target == "local" ? "the local stack, but this is AWS" : "AWS, but this is the local stack"}: ${local._run}",
    !local._readable || local._manifest.sources != "" ? null : "the packages have not been built: ${local._run}",
    !local._readable || contains(["", local._sources], local._manifest.sources) ? null : "the packages are stale, because functions/ has changed since they were built: ${local._run}",
  ])

  # Only if the manifest itself is in order: otherwise, these problems would be consequences of its own.
  _package_problems = length(local._manifest_problems) > 0 ? [] : concat(
    [
      for name, model in var.models : var.local_stack ?
      "models.${name}: the packages contain nothing for the runtime ${model.runtime}: ${local._run}" :
      "models.${name}: the runtime ${model.runtime} is too large for a layer and needs a container image for ${model.architecture}: ${local._build["${model.runtime}-${model.architecture}"]}"
      if local.models[name].code == "inference" && local.models[name].layer == null
    ],
    # Only the first problem of each image: the command in its message also fixes the others.
    distinct(compact([
      for key, image in local._images : (
        image.uri == null ? null :
        local._runtimes[image.runtime].package != "image" ?
        "runtime_images.${image.runtime}: ${image.runtime} runs from its layer: leave it out of runtime_images" :
        local._image_parts[key][1] == null ?
        "runtime_images.${image.runtime}: ${image.uri} is not an ECR image with a digest (a tag could be moved): expected <repository>@sha256:<64 hexadecimal digits>; without this entry, the image that `.venv/bin/modelctl image` recorded is used" :
        length(local._image_records[key]) == 0 ?
        "runtime_images.${image.runtime}: nothing in ${var.manifest_file} says which sources ${image.uri} was built from: ${local._build[key]}" :
        local._image_records[key][0].architecture != image.architecture ?
        "${image.models}: the image ${image.uri} is built for ${local._image_records[key][0].architecture}, expected ${image.architecture}: ${local._build[key]}" :
        local._image_parts[key][0] != var.region ?
        "${image.models}: the image ${image.uri} is in ${local._image_parts[key][0]}, but Lambda accepts only images of its own region, ${var.region}: ${local._build[key]}" :
        local._image_records[key][0].sources != local._image_sources[image.runtime] ?
        "${image.models}: the image ${image.uri} is stale, because functions/inference has changed since it was built: ${local._build[key]}" :
        null
      )
    ])),
    [
      for name, model in var.models : "models.${name}: the packages contain no layer of the runtime ${model.runtime} for ${model.architecture}: ${local._run}"
      if local.models[name].layer != null && try(local._manifest.layers[model.runtime][model.architecture], null) == null
    ],
    [
      for name in keys(local.code) : "the packages contain no code ${name}: ${local._run}"
      if !contains(keys(local._manifest.code), name)
    ],
    [
      for package in concat(values(local.code), values(local.layers)) : "${package.path} does not exist: ${local._run}"
      if package.sha256 != "" && !fileexists(package.path)
    ],
  )

  problems = concat(local._manifest_problems, local._package_problems)
}
