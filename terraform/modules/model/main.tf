# One model: its files, the function that serves it, and the function's permissions. Names are computed from the variables
# instead of being read from other resources, on which a plan of hundreds of models would spend most of its time.

locals {
  function_name = var.model.names.function
  log_group     = "/aws/lambda/${local.function_name}"
  alias         = "live"

  # The keys that the notification matches, by prefix and suffix: two models may share a prefix and differ in their suffixes.
  inputs = [
    for key in setproduct(var.model.route.prefixes, length(var.model.route.suffixes) > 0 ? var.model.route.suffixes : [""]) :
    "${var.deployment.arns.s3}${var.buckets.inputs}/${key[0]}*${key[1]}"
  ]
  results = ["${var.deployment.arns.s3}${var.buckets.results}/${var.name}/*"]
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts logs with its own key; they contain keys of objects, but no content
  name              = local.log_group
  retention_in_days = var.log_retention_days
  tags              = var.model.tags
}

# The writer creates the folder before the model's function is created. Otherwise, it would be created read-only.
resource "aws_efs_access_point" "reader" {
  file_system_id = var.file_system.id

  posix_user {
    uid = var.file_system.reader
    gid = var.file_system.reader
  }

  root_directory {
    path = "/models/${var.name}"

    creation_info {
      owner_uid   = var.file_system.writer
      owner_gid   = var.file_system.writer
      permissions = "0755"
    }
  }

  tags = merge(var.model.tags, { Name = local.function_name })
}

module "role" {
  source = "../execution_role"

  deployment = var.deployment
  name       = local.function_name
  log_group  = local.log_group
  tags       = var.model.tags
  mount = {
    file_system_arn  = var.file_system.arn
    access_point_arn = aws_efs_access_point.reader.arn
    write            = false
  }
  statements = {
    Queue = {
      actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      # Not var.queue_arn, which is known only once all queues exist: role and function need not wait for that.
      resources = ["${var.deployment.arns.sqs}${var.model.names.queue}"]
    }
    Inputs = {
      actions   = ["s3:GetObject", "s3:GetObjectVersion"]
      resources = local.inputs
    }
    Results = {
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = local.results
    }
  }
  # S3 announces inputs of the previous route for another five minutes, and they can wait as dead letters for 14 days.
  kept = { sid = "Inputs", days = 14 }
}

resource "aws_s3_object" "artifact" {
  for_each = var.model.files

  bucket      = var.buckets.artifacts
  key         = "models/${var.name}/${var.model.digest}/${each.key}"
  source      = each.value.source
  source_hash = each.value.sha256

  override_provider {
    default_tags {
      tags = {} # an object of a bucket that is itself tagged needs none
    }
  }
}

# CREATE_ONLY and not CRUD: a CRUD update that fails stores its new input, so the next plan would skip the call and update
# the function to weights that do not exist. A failed creation is repeated, and dependent resources wait.
resource "aws_lambda_invocation" "weights" {
  function_name   = var.weights_sync
  lifecycle_scope = "CREATE_ONLY"
  input = jsonencode({
    model  = var.name
    digest = var.model.digest
    files  = { for path, file in var.model.files : path => file.sha256 }
  })
  triggers = {
    digest      = var.model.digest
    file_system = var.file_system.id
  }

  depends_on = [aws_s3_object.artifact]
}

resource "aws_lambda_function" "inference" {
  # checkov:skip=CKV_AWS_116:inputs come through a queue, which has the dead-letter queue; direct calls are synchronous
  # checkov:skip=CKV_AWS_272:the code comes from this deployment's own bucket, under a name made from its content
  # checkov:skip=CKV_AWS_173:the environment holds no secret; Lambda encrypts it with its own key
  # checkov:skip=CKV_AWS_50:no tracing: the SDK's import alone costs a cold start 400 ms; timings are in every result
  function_name = local.function_name
  description   = var.model.description
  role          = module.role.arn
  publish       = true

  package_type = var.package.image_uri == null ? "Zip" : "Image"
  image_uri    = var.package.image_uri
  runtime      = var.package.image_uri == null ? var.package.lambda_runtime : null
  handler      = var.package.image_uri == null ? "inference.handler.handler" : null
  s3_bucket    = var.package.image_uri == null ? var.package.s3_bucket : null
  s3_key       = var.package.image_uri == null ? var.package.s3_key : null
  layers       = var.package.layers

  # Not a hash: any change makes the provider update the code, even to the same code, and publish a version.
  source_code_hash = var.package.publish_again ? plantimestamp() : null

  architectures                  = [var.model.architecture]
  memory_size                    = var.model.memory_mb
  timeout                        = var.model.timeout_s
  reserved_concurrent_executions = coalesce(var.model.concurrency.reserved, -1)

  ephemeral_storage {
    size = var.model.ephemeral_mb
  }

  environment {
    variables = merge(var.model.variables, { MODELYARD_RESULTS = var.buckets.results })
  }

  vpc_config {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = [var.network.security_group_id]
  }

  file_system_config {
    arn              = aws_efs_access_point.reader.arn
    local_mount_path = var.model.variables.MODELYARD_WEIGHTS
  }

  logging_config {
    log_format = "JSON"
    log_group  = local.log_group
  }

  tags = var.model.tags

  # The log group: otherwise, Lambda would create one that nobody deletes. The weights: a version must find its own.
  depends_on = [aws_cloudwatch_log_group.this, aws_lambda_invocation.weights]
}

resource "aws_lambda_alias" "live" {
  name        = local.alias
  description = "What serves inputs and direct calls"
  # The ARN read from the function, not its name: if the function is replaced, its aliases are deleted with it.
  function_name    = aws_lambda_function.inference.arn
  function_version = aws_lambda_function.inference.version

  # Not before it is proved that the version is the planned one, and that it can serve.
  depends_on = [aws_lambda_invocation.check]
}

resource "aws_lambda_event_source_mapping" "queue" {
  event_source_arn                   = var.queue_arn
  function_name                      = "${var.deployment.arns.lambda}function:${local.function_name}:${local.alias}"
  batch_size                         = var.model.batch.size
  maximum_batching_window_in_seconds = var.model.batch.window_s
  function_response_types            = ["ReportBatchItemFailures"]
  tags                               = var.model.tags

  scaling_config {
    maximum_concurrency = var.model.concurrency.maximum
  }

  lifecycle {
    # A function that changes from a zip to an image or back is replaced, with its alias. The mapping is deleted first and
    # created last: meanwhile, inputs wait in the queue. A mapping without a function would use up their retries.
    # An update keeps the id; the id of a replaced function is unknown in the plan.
    replace_triggered_by = [aws_lambda_function.inference.id]
  }

  depends_on = [aws_lambda_alias.live]
}
