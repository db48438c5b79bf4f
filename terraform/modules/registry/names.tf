# What the things that AWS has of a model are called. The modules that make them, watch them and let others use them take
# the names from here, and wait for nothing.

locals {
  names = { for name in keys(local.merged) : name => {
    function          = "${var.name_prefix}-${name}"
    queue             = "${var.name_prefix}-${name}"
    dead_letter_queue = "${var.name_prefix}-${name}-dlq"
    # CloudWatch's dimensions of the metrics that the function emits (functions/inference/metrics.py).
    metric_dimensions = { Model = name, Variant = "stable" }
  } }

  _models_by_dead_letter_queue = { for name, names in local.names : names.dead_letter_queue => name }
}
