# The files that this module reads. The module's expressions evaluate whatever the registry contains: everything wrong becomes
# a problem in a list, and the output `models` reports all problems at once.

locals {
  # A registry is a file and the files in the folder next to it with the same name: registry.yaml and registry.d/*.yaml.
  _folder = "${replace(var.registry_file, "/\\.ya?ml$/", "")}.d"
  # Empty if the folder does not exist. If it cannot be read, this fails, and so does the plan.
  _in_folder = [for name in fileset(local._folder, "**") : name if can(regex("(?i)\\.ya?ml$", name)) && !can(regex("(^|/)\\.", name))]
  files      = concat([var.registry_file], [for name in sort(local._in_folder) : "${local._folder}/${name}" if can(regex("^[^/]+\\.yaml$", name))])
  # Their names in messages.
  file_names = { for path in local.files : path => path == var.registry_file ? basename(path) : "${basename(local._folder)}/${basename(path)}" }

  # duplicates.tf searches line by line, so all lines end in the same way.
  # Reading a pipe would never end.
  texts = { for path in local.files : path => try([for path in [path] : "${replace(trimprefix(file(path), "\ufeff"), "\r\n", "\n")}\n" if fileexists(path)][0], null) }

  _parsed = { for path, text in local.texts : path => try(yamldecode(text), null) }
  # JSON has no infinity, and no field accepts it.
  contents = { for path, document in local._parsed : path => can(jsonencode(document)) ? document : null }

  # Terraform accepts a tab instead of a space after a colon; other YAML parsers do not. Only inside a text, replacing the tab
  # by a space changes the value. If there are many such lines, only the first ones are checked.
  _lines       = { for path, text in local.texts : path => text == null ? [] : split("\n", text) }
  _with_tabs   = { for path, lines in local._lines : path => [for number, line in lines : number if can(regex("^[^#]*[:,\\[{-] *\t", line))] }
  _some_tabbed = { for path, numbers in local._with_tabs : path => slice(numbers, 0, min(5, length(numbers))) }
  _tabs = { for path, numbers in local._some_tabbed : path => anytrue([for tabbed in numbers : try(jsonencode(local._parsed[path]) == jsonencode(yamldecode(
    join("\n", [for number, line in local._lines[path] : number == tabbed ? replace(line, "\t", " ") : line])
  )), false)]) }

  _file_problems = { for path, text in local.texts : path => (
    text == null ? (
      !can(fileexists(path)) ? "is not a regular file (a folder or pipe, say); the registry is a YAML file"
      : fileexists(path) ? "is not UTF-8 text; save it in that encoding"
      : "does not exist; give the path of the model registry"
    )
    : !can(regex("(?m)^[ \t]*[^# \t\n]", text)) ? "is empty; it must have the fields version and models"
    : !can(yamldecode(text)) ? "is not YAML that Terraform reads: bad syntax, a second document, an unknown tag, .nan, an alias that contains itself, or a key that is null, a list or a map; `modelctl validate` shows the line"
    : local._tabs[path] ? "is not valid YAML: a tab; use spaces; `modelctl validate` shows the line"
    : !can(jsonencode(local._parsed[path])) ? "contains an infinite number (.inf), which no field accepts"
    : null
  ) }
  # If one file cannot be read, the others are not checked, because its defaults may apply to them.
  file_problems = { for path, problem in local._file_problems : path => problem if problem != null }

  folder_problems = [for name in local._in_folder : {
    path    = ""
    at      = ""
    file    = "${local._folder}/${name}"
    message = "is not read: a registry file must be directly in ${basename(local._folder)}, and its name must end with .yaml; rename, move or delete this one"
  } if !can(regex("^[^/]+\\.yaml$", name))]
}
