output "function_name" {
  description = "Name of the function."
  value       = local.function_name
}

output "alias" {
  description = "Alias that inputs and direct calls go to."
  value       = local.alias
}

output "log_group" {
  description = "Log group of the function."
  value       = local.log_group
}
