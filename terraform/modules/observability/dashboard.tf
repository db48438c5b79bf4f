# One page with all models. Each graph lists the models' metrics one by one: a search would be shorter, but it matches words,
# and would include other deployments with similar names.

locals {
  _of_function = { for model, names in var.models : model => ["FunctionName", names.function] }
  _of_queue    = { for model, names in var.models : model => ["QueueName", names.queue] }
  _of_dlq      = { for model, names in var.models : model => ["QueueName", names.dead_letter_queue] }
  _of_model    = { for model, names in var.models : model => flatten([for dimension, value in names.metric_dimensions : [dimension, value]]) }

  # Two per row; even with 300 models, a graph has fewer than the 500 metrics that it may show.
  _graphs = [
    { title = "Predictions", metric = ["Modelyard", "Predictions"], of = local._of_model, stat = "Sum" },
    { title = "Inputs that cannot be served", metric = ["Modelyard", "InputErrors"], of = local._of_model, stat = "Sum" },
    { title = "Inputs in the queue", metric = ["AWS/SQS", "ApproximateNumberOfMessagesVisible"], of = local._of_queue, stat = "Maximum" },
    { title = "Age of the oldest input in the queue (s)", metric = ["AWS/SQS", "ApproximateAgeOfOldestMessage"], of = local._of_queue, stat = "Maximum" },
    { title = "Dead letters", metric = ["AWS/SQS", "ApproximateNumberOfMessagesVisible"], of = local._of_dlq, stat = "Maximum" },
    { title = "Failed calls", metric = ["AWS/Lambda", "Errors"], of = local._of_function, stat = "Sum" },
    { title = "Calls turned away", metric = ["AWS/Lambda", "Throttles"], of = local._of_function, stat = "Sum" },
    { title = "Time of a call, p95 (ms)", metric = ["AWS/Lambda", "Duration"], of = local._of_function, stat = "p95" },
  ]
}

resource "aws_cloudwatch_dashboard" "models" {
  dashboard_name = var.deployment.name
  dashboard_body = jsonencode({
    widgets = [for index, graph in local._graphs : {
      type   = "metric"
      x      = index % 2 * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        region  = var.deployment.region
        period  = 300
        stat    = graph.stat
        metrics = [for model, dimensions in graph.of : concat(graph.metric, dimensions, [{ label = model }])]
      }
    }]
  })
}
