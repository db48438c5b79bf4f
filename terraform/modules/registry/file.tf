# The files this module reads. The expressions of this module hold whatever the registry contains: what is wrong becomes a
# problem in a list, and the output `models` refuses them all at once.

locals {
  # A registry is a file, and the files of the folder beside it that has its name: registry.yaml and registry.d/*.yaml.
  _folder = "${replace(var.registry_file, "/\\.ya?ml$/", "")}.d"
  # Of a folder that is not there this is empty; of one that cannot be read it fails, and the plan with it.
  _in_folder = [for name in fileset(local._folder, "**") : name if can(regex("(?i)\\.ya?ml$", name)) && !can(regex("(^|/)\\.", name))]
  files      = concat([var.registry_file], [for name in sort(local._in_folder) : "${local._folder}/${name}" if can(regex("^[^/]+\\.yaml$", name))])
  # How messages call them.
  file_names = { for path in local.files : path => path == var.registry_file ? basename(path) : "${basename(local._folder)}/${basename(path)}" }

  # The duplicates are looked for line by line (duplicates.tf), so every line ends alike.
  # Reading a pipe would never end.
  texts = { for path in local.files : path => try([for path in [path] : "${replace(trimprefix(file(path), "\ufeff"), "\r\n", "\n")}\n" if fileexists(path)][0], null) }

  _parsed = { for path, text in local.texts : path => try(yamldecode(text), null) }
  # JSON has no infinity, and no field takes one.
  contents = { for path, document in local._parsed : path => can(jsonencode(document)) ? document : null }

  # Terraform takes a tab for a space behind a colon, where other parsers of YAML do not. In a text, and only there, a
  # space in its place makes another value. Of many lines, the first ones do.
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
  # Where one of them cannot be read, nothing is said of the others: its defaults may be theirs.
  file_problems = { for path, problem in local._file_problems : path => problem if problem != null }

  folder_problems = [for name in local._in_folder : {
    path    = ""
    at      = ""
    file    = "${local._folder}/${name}"
    message = "is not read: a registry file must be directly in ${basename(local._folder)}, and its name must end with .yaml; rename, move or delete this one"
  } if !can(regex("^[^/]+\\.yaml$", name))]
}
