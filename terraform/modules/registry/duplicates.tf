# Names that are given twice. YAML parsers silently keep the last one, so this searches the lines of the file.
#
# A plan finds keys of the file, of `models`, of each model and of the defaults, all of them in block style. It does not find
# keys on deeper levels, or any in flow style. `modelctl validate`, `up` and `package` find all of them, with their lines
# (scripts/modelctl/registry/validation.py).

locals {
  # A key up to its colon. One of the three groups contains the name: in double, in single, or without quotes.
  _key = "(?:\"([^\"\\n]*)\"|'([^'\\n]*)'|([^\\s#\"'{\\[-][^\\n]*?))[ \\t]*:(?:[ \\t][^\\n]*)?\\n"

  # By file: the lines below `models:` and `defaults:`, up to the next key of the file, and how far the models are indented.
  _blocks = { for file, text in local.texts : file => { for block in ["models", "defaults"] : block => try(reverse(regexall(
    "(?m)^[\"']?${block}[\"']?[ \\t]*:[ \\t]*(?:&[^\\s]+)?[ \\t]*(?:#[^\\n]*)?\\n((?:[ \\t#][^\\n]*\\n|\\n)*)", text,
  ))[0][0], "") } }
  _models_indents = { for file, blocks in local._blocks : file => try(regex("(?m)^( +)[^\\s#]", blocks.models)[0], " ") }

  # Each model's key with the lines below it, which are indented further.
  _model_blocks = flatten([for file, indent in local._models_indents : [
    for match in regexall("(?m)^${indent}${local._key}((?:${indent}[ \\t]+[^\\n]*\\n|[ \\t]*(?:#[^\\n]*)?\\n)*)", local._blocks[file].models) :
    { file = file, name = join("", compact(slice(match, 0, 3))), lines = match[3] }
  ]])
  _field_blocks = concat(
    [for block in local._model_blocks : { file = block.file, path = "models.${block.name}", lines = block.lines, fields = try(local.contents[block.file].models[block.name], null) }],
    [for file, blocks in local._blocks : { file = file, path = "defaults", lines = blocks.defaults, fields = try(local.contents[file].defaults, null) }],
  )

  _file_keys = flatten([for file, text in local.texts : [
    for match in regexall("(?m)^${local._key}", coalesce(text, "\n")) : { file = file, key = join("", compact(match)) }
  ]])
  # The fields that a block contains more than once. Another block of the same model does not count.
  _doubled_fields = flatten([for block in local._field_blocks : [
    for key, times in {
      for match in regexall("(?m)^${try(regex("(?m)^( +)[^\\s#]", block.lines)[0], " ")}${local._key}", block.lines) :
      join("", compact(match)) => { file = block.file, path = "${block.path}.${join("", compact(match))}" }... if can(block.fields[join("", compact(match))])
    } : times if length(times) > 1
  ]])

  # Only keys that the parser found as well count, because a line of a text may look like a key.
  _written = concat(
    [for found in local._file_keys : { file = found.file, path = found.key } if can(local.contents[found.file][found.key])],
    [for block in local._model_blocks : { file = block.file, path = "models.${block.name}" } if can(local.contents[block.file].models[block.name])],
    local._doubled_fields,
  )

  duplicate_problems = concat(
    # `times` marks them for `modelctl validate`, which adds the lines.
    [for written in values({ for it in local._written : "${it.file} ${it.path}" => it... }) : {
      file    = written[0].file
      path    = written[0].path
      at      = written[0].path
      message = "is given ${length(written)} times, and only the last would count; keep one, and remove or rename the others"
      times   = length(written)
    } if length(written) > 1],
    # `also_in` marks these, so that `modelctl validate` can add the line in that file.
    flatten([for name, files in local._files_by_model : [for file in slice(files, 1, length(files)) : {
      file    = file
      path    = "models.${name}"
      at      = "models.${name}"
      message = "is also in ${local.file_names[files[0]]}; keep one of the two, and remove or rename the other"
      also_in = files[0]
    }]]),
  )
}
