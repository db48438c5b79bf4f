# Names that are given twice. YAML parsers keep the last one and say nothing, so this looks at the lines of the file.
#
# A plan finds keys of the file, of `models`, of every model and of the defaults, all of them in block style. It does not
# find keys further inside, nor any in flow style. `modelctl validate`, `up` and `package` find all of them, with their
# lines (scripts/modelctl/registry/validation.py).

locals {
  # A key up to its colon; three groups, of which one holds the name: in double, in single, without quotes.
  _key = "(?:\"([^\"\\n]*)\"|'([^'\\n]*)'|([^\\s#\"'{\\[-][^\\n]*?))[ \\t]*:(?:[ \\t][^\\n]*)?\\n"

  # The lines below `models:` and `defaults:`, up to the next key of the file, and how far the models are indented.
  _blocks = { for block in ["models", "defaults"] : block => try(reverse(regexall(
    "(?m)^[\"']?${block}[\"']?[ \\t]*:[ \\t]*(?:&[^\\s]+)?[ \\t]*(?:#[^\\n]*)?\\n((?:[ \\t#][^\\n]*\\n|\\n)*)", local.text,
  ))[0][0], "") }
  _models_indent = try(regex("(?m)^( +)[^\\s#]", local._blocks.models)[0], " ")

  # Every model's key with the lines below it, which begin further to the right.
  _model_blocks = [
    for match in regexall("(?m)^${local._models_indent}${local._key}((?:${local._models_indent}[ \\t]+[^\\n]*\\n|[ \\t]*(?:#[^\\n]*)?\\n)*)", local._blocks.models) :
    { name = join("", compact(slice(match, 0, 3))), lines = match[3] }
  ]
  _field_blocks = concat(
    [for block in local._model_blocks : { path = "models.${block.name}", lines = block.lines, fields = try(local.document.models[block.name], null) }],
    [{ path = "defaults", lines = local._blocks.defaults, fields = try(local.document.defaults, null) }],
  )

  _file_keys = [for match in regexall("(?m)^${local._key}", coalesce(local.text, "\n")) : join("", compact(match))]
  # The fields that a block has more than once; another block of the same model is another matter.
  _doubled_fields = flatten([for block in local._field_blocks : [
    for key, times in {
      for match in regexall("(?m)^${try(regex("(?m)^( +)[^\\s#]", block.lines)[0], " ")}${local._key}", block.lines) :
      join("", compact(match)) => "${block.path}.${join("", compact(match))}"... if can(block.fields[join("", compact(match))])
    } : times if length(times) > 1
  ]])

  # Only what the parser found as well counts, since a line of a text may look like a key.
  _written = concat(
    [for key in local._file_keys : key if can(local.document[key])],
    [for block in local._model_blocks : "models.${block.name}" if can(local.document.models[block.name])],
    local._doubled_fields,
  )

  # `times` marks them for `modelctl validate`, which says the same with the lines.
  duplicate_problems = [for path, times in { for path in local._written : path => true... } : {
    path    = path
    at      = path
    message = "is given ${length(times)} times; only the last would count: keep one and remove or rename the others"
    times   = length(times)
  } if length(times) > 1]
}
