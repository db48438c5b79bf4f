locals {
  # The file of a problem, if the registry has several files. Files in the folder that are not read count as well.
  _shown = { for problem in concat(local.problems, local._located.account) : problem.file => (
    length(local.files) + length(local.folder_problems) == 1 ? "" : trimprefix(problem.file, "${dirname(var.registry_file)}/")
  )... }
}

output "problems" {
  description = "The problems of the registry, sorted by path: `path` and `message` are for people, `at` is the path to look for in `file`."
  value       = local.problems
}

output "models" {
  description = "The models, by name, in their normal form: all fields, and the function's environment."
  value       = local.models

  precondition {
    condition = length(local.problems) == 0
    # Terraform wraps long lines unless they begin with a space, so each problem stays on one line.
    error_message = join("\n", concat(
      ["${var.registry_file} cannot be applied:"],
      [for problem in local.problems : "  ${join(": ", compact([local._shown[problem.file][0], problem.path, problem.message]))}"],
    ))
  }

  precondition {
    condition = length(local.quota_problems) == 0
    error_message = join("\n", concat(
      ["${var.registry_file} does not fit into this account:"],
      [for problem in local._located.account : "  ${join(": ", compact([local._shown[problem.file][0], problem.path, problem.message]))}"],
    ))
  }
}

output "quota_problems" {
  description = "What AWS would refuse in this account: `path` and `message`."
  value       = local.quota_problems
}

output "quota_warnings" {
  description = "Sentences about quotas of the account that are assumed, or probably too small."
  value       = local.quota_warnings
}
