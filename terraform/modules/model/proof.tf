# Proves that the version that goes live can serve: it is called once, and loads, warms and answers its samples
# (functions/inference/check.py). If it cannot, the apply fails with the function's reason, and the alias stays where it is.

# CREATE_ONLY: a call that failed is not in the state, so the next apply repeats it, and the alias waits. Another version or
# other samples lead to another call.
resource "aws_lambda_invocation" "check" {
  function_name   = local.function_name
  qualifier       = aws_lambda_function.inference.version
  lifecycle_scope = "CREATE_ONLY"
  # Not secret, but a plan would show the content of every sample.
  input = sensitive(var.model.check)

  lifecycle {
    # A version other than the planned one proves nothing.
    precondition {
      condition     = length(local._differences) == 0
      error_message = <<-EOT
        The last published version of ${local.function_name} is not what was planned. Differences: ${join(", ", local._differences)}.
        An earlier update of the function was refused or interrupted, and the provider no longer knows about the rest of it. Until the update is complete, the alias ${local.alias} does not move. To complete it, run the following command, which accepts a list of models:
          terraform apply -var 'publish_again=["${var.name}"]'
      EOT
    }
  }
}
