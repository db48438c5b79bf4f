# The names of a model's AWS resources. The modules that create, monitor and grant access to these resources get the names
# from here instead of from each other, so that no module has to wait for another.

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
