# Names that are given twice. YAML parsers keep the last one and say nothing, so this looks at the lines of the file.
#
# A plan finds what would destroy a model or replace it by another: keys of the file and of `models`, in block style. It does
# not find other keys, nor any in flow style. `modelctl validate`, `up` and `package` find all of them, with their lines
# (scripts/modelctl/registry.py).

locals {
  # A key up to its colon; three groups, of which one holds the name: in double, in single, without quotes.
  _key = "(?:\"([^\"\\n]*)\"|'([^'\\n]*)'|([^\\s#\"'{\\[-][^\\n]*?))[ \\t]*:(?:[ \\t][^\\n]*)?\\n"

  # The lines below `models:`, up to the next key of the file, and how far they are indented.
  _models_block = try(reverse(regexall(
    "(?m)^[\"']?models[\"']?[ \\t]*:[ \\t]*(?:&[^\\s]+)?[ \\t]*(?:#[^\\n]*)?\\n((?:[ \\t#][^\\n]*\\n|\\n)*)", local.text,
  ))[0][0], "")
  _models_indent = try(regex("(?m)^( +)[^\\s#]", local._models_block)[0], " ")

  _file_keys   = [for match in regexall("(?m)^${local._key}", coalesce(local.text, "\n")) : join("", compact(match))]
  _model_names = [for match in regexall("(?m)^${local._models_indent}${local._key}", local._models_block) : join("", compact(match))]

  # Only what the parser found as well counts, since a line of a text may look like a key.
  _written = concat(
    [for key in local._file_keys : key if can(local.document[key])],
    [for name in local._model_names : "models.${name}" if can(local.document.models[name])],
  )

  # `times` marks them for `modelctl validate`, which says the same with the lines.
  duplicate_problems = [for path, times in { for path in local._written : path => true... } : {
    path    = path
    at      = path
    message = "is given ${length(times)} times; only the last would count: leave one, or rename the others"
    times   = length(times)
  } if length(times) > 1]
}
