output "home" {
  description = "Account, region and first `event_way` of the deployment, and the reason why nothing may be planned or destroyed from here (empty if it may)."
  value = {
    account_id = local.home.account_id
    region     = local.home.region
    # States of earlier releases do not have it: they had the notification only.
    event_way = try(local.home.event_way, "notification")
    problem   = local.problem
  }

  # `terraform destroy` only warns of this.
  precondition {
    condition     = local.problem == ""
    error_message = local.problem
  }
}

output "tags" {
  description = "The tags that mark a role as this deployment's."
  value       = { (local.tag) = local.mark }
}
