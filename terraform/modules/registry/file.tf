# The two files this module reads. Whatever stands in the registry, the expressions of this module hold: what is wrong
# becomes a problem in a list, and the output `models` refuses them all at once.

locals {
  # The duplicates are looked for line by line (duplicates.tf), so every line ends alike.
  # Reading a pipe would never end.
  text = try([for path in [var.registry_file] : "${replace(trimprefix(file(path), "\ufeff"), "\r\n", "\n")}\n" if fileexists(path)][0], null)

  _document = try(yamldecode(local.text), null)
  # JSON has no infinity, and no field takes one.
  document = can(jsonencode(local._document)) ? local._document : null

  # Terraform takes a tab for a space behind a colon, where other parsers of YAML do not. In a text, and only there, a
  # space in its place makes another value. Of many lines, the first ones do.
  _lines       = local.text == null ? [] : split("\n", local.text)
  _with_tabs   = [for number, line in local._lines : number if can(regex("^[^#]*[:,\\[{-] *\t", line))]
  _some_tabbed = slice(local._with_tabs, 0, min(5, length(local._with_tabs)))
  _tabs = anytrue([for tabbed in local._some_tabbed : try(jsonencode(local._document) == jsonencode(yamldecode(
    join("\n", [for number, line in local._lines : number == tabbed ? replace(line, "\t", " ") : line])
  )), false)])

  file_problem = (
    local.text == null ? (
      !can(fileexists(var.registry_file)) ? "is not a regular file (a folder or pipe, say); the registry is a YAML file"
      : fileexists(var.registry_file) ? "is not text in UTF-8; save it in that encoding"
      : "there is no such file; give the path of the model registry"
    )
    : !can(regex("(?m)^[ \t]*[^# \t\n]", local.text)) ? "is empty; it must have the fields version and models"
    : !can(yamldecode(local.text)) ? "is not YAML that Terraform reads: bad syntax, a second document, an unknown tag, .nan, an alias of what it stands in, or a key that is null, a list or a map; `modelctl validate` shows the line"
    : local._tabs ? "is not valid YAML: a tab; use spaces; `modelctl validate` shows the line"
    : !can(jsonencode(local._document)) ? "holds an infinite number (.inf), which no field takes"
    : null
  )
}
