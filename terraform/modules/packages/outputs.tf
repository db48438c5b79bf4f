output "lambda_runtime" {
  description = "The Lambda runtime that the packages were built for, such as python3.13."
  value       = "python${local._manifest.python}"
}

output "code" {
  description = "Code packages in use, by name: path, sha256 and code_sha256 (as Lambda reports it for a function that runs from the package)."
  value       = local.code

  precondition {
    condition = length(local.problems) == 0
    # Terraform breaks long lines, but not those that begin with a space.
    error_message = "The packages cannot be used:\n${join("\n", [for problem in local.problems : "  ${problem}"])}"
  }
}

output "layers" {
  description = "Layers in use by \"<runtime>-<architecture>\": path, sha256, runtime, architecture."
  value       = local.layers
}

output "models" {
  description = "By model: image_uri, or code (a key of code) and, if it needs one, layer (a key of layers)."
  value       = local.models
}

output "problems" {
  description = "All reasons why the packages cannot be used."
  value       = local.problems
}
