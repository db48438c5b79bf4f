# Names that stand twice. YAML parsers keep the last one and say nothing, so this looks at the lines of the file: keys of
# the file, of `models`, of every model and of the defaults, all of them in the block style. A model that is not found
# this way (`models: {digits: …}` on one line) is refused, since its double would not be noticed.

locals {
  # A key up to its colon; three groups, of which one holds the name: in double, in single, without quotes.
  _key = "(?:\"([^\"\\n]*)\"|'([^'\\n]*)'|([^\\s#\"'{\\[-][^\\n]*?))[ \\t]*:(?:[ \\t][^\\n]*)?\\n"

  _file_keys = [for match in regexall("(?m)^${local._key}", coalesce(local.text, "\n")) : join("", compact(match))]

  # The lines below `models:` and `defaults:`, up to the next key of the file.
  _blocks = { for block in ["models", "defaults"] : block => try(reverse(regexall(
    "(?m)^[\"']?${block}[\"']?[ \\t]*:[ \\t]*(?:&[^\\s]+)?[ \\t]*(?:#[^\\n]*)?\\n((?:[ \\t#][^\\n]*\\n|\\n)*)", local.text,
  ))[0][0], "") }
  _indents = { for block, lines in local._blocks : block => try(regex("(?m)^( +)[^\\s#]", lines)[0], " ") }

  # Every model's key with the lines below it, which begin further to the right.
  _model_blocks = [
    for match in regexall("(?m)^${local._indents.models}${local._key}((?:${local._indents.models}[ \\t]+[^\\n]*\\n|[ \\t]*(?:#[^\\n]*)?\\n)*)", local._blocks.models) :
    { name = join("", compact(slice(match, 0, 3))), lines = match[3] }
  ]
  _field_blocks = concat(
    [for block in local._model_blocks : { path = "models.${block.name}", lines = block.lines, fields = try(local.document.models[block.name], null) }],
    [{ path = "defaults", lines = local._blocks.defaults, fields = try(local.document.defaults, null) }],
  )

  # How often each name stands there. Only what the parser found as well counts: a line of a text may look like a key.
  _times_written = {
    file   = { for key in local._file_keys : key => true... if can(local.document[key]) }
    models = { for block in local._model_blocks : block.name => true... if can(local.document.models[block.name]) }
  }
  _fields_written = [for block in local._field_blocks : {
    path = block.path
    times = {
      for match in regexall("(?m)^${try(regex("(?m)^( +)[^\\s#]", block.lines)[0], " ")}${local._key}", block.lines) :
      join("", compact(match)) => true... if can(block.fields[join("", compact(match))])
    }
  }]

  duplicate_problems = concat(
    [for key, times in local._times_written.file :
    { path = key, at = key, message = "stands ${length(times)} times in the file; only the last would count: join them" } if length(times) > 1],
    [for name, times in local._times_written.models :
    { path = "models.${name}", at = "models.${name}", message = "is named ${length(times)} times; only the last would count: rename or remove the others" } if length(times) > 1],
    flatten([for block in local._fields_written : [for key, times in block.times :
      { path = "${block.path}.${key}", at = "${block.path}.${key}", message = "is given ${length(times)} times; only the last would count: remove the others" }
    if length(times) > 1]]),
    [for node in local._models :
      { path = node.path, at = node.path, message = "must be written as a block, with \"${node.key}:\" at the beginning of a line of its own: a model named twice would go unnoticed" }
    if !can(local._times_written.models[node.key]) && can(regex(local.rules["/models"].propertyNames.pattern, node.key)) && !contains(["true", "false"], node.key)],
  )
}
