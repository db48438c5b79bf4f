# What Lambda allows this account in this region. The module registry says which models do not fit.

data "aws_servicequotas_service_quota" "lambda" {
  # The key is part of the address that an error shows: who may not read quotas finds the way out there.
  for_each = var.read_quotas && !can(var.quotas.concurrency) ? { "concurrency, unless read_quotas = false" = "L-B99A9384" } : {}

  service_code = "lambda"
  quota_code   = each.value
}

locals {
  # Service Quotas does not have memory_mb.
  quotas = merge(
    { concurrency = null, memory_mb = null },
    { for quota in data.aws_servicequotas_service_quota.lambda : "concurrency" => quota.value },
    var.quotas,
  )
}

check "quotas" {
  assert {
    condition     = length(module.registry.quota_warnings) == 0
    error_message = join("\n", module.registry.quota_warnings)
  }
}
