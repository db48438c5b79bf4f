# What Lambda allows this account in this region. The module registry says which models do not fit.

data "aws_servicequotas_service_quota" "lambda" {
  # The key is part of the address that an error shows: who may not read quotas finds the way out there.
  for_each = var.quotas.read && var.quotas.concurrency == null ? { "concurrency, unless quotas.read = false" = "L-B99A9384" } : {}

  service_code = "lambda"
  quota_code   = each.value
}

locals {
  quotas = {
    # One of them, or neither.
    concurrency = one(concat([for given in [var.quotas.concurrency] : given if given != null], values(data.aws_servicequotas_service_quota.lambda)[*].value))
    # Service Quotas does not have it.
    memory_mb = var.quotas.memory_mb
  }
}

check "quotas" {
  assert {
    condition     = length(module.registry.quota_warnings) == 0
    error_message = join("\n", module.registry.quota_warnings)
  }
}
