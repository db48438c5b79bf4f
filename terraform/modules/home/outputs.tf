output "home" {
  description = "Account and region of the deployment, when its first apply was planned, and why nothing may be planned or destroyed from here (empty: it may)."
  value = {
    account_id = local.home.account_id
    region     = local.home.region
    made       = local.home.made
    problem    = local.problem
  }

  # `terraform destroy` only warns of this.
  precondition {
    condition     = local.problem == ""
    error_message = local.problem
  }
}

output "tags" {
  description = "What marks a role as this deployment's."
  value       = { (local.tag) = local.mark }
}
