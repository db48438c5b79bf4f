# The function that publishes weights: it copies the files of an artifact from the artifacts bucket to the file system
# and is the only one that may write there.

locals {
  log_group = "/aws/lambda/${var.name}"
  mount     = "/mnt/models"

  variables = tomap({
    MODELYARD_ARTIFACTS = var.artifacts_bucket
    MODELYARD_WEIGHTS   = local.mount
  })
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts logs with its own key; they contain keys of objects, but no content
  name              = local.log_group
  retention_in_days = var.log_retention_days
}

module "role" {
  source = "../execution_role"

  deployment = var.deployment
  name       = var.name
  log_group  = local.log_group
  tags       = var.role_tags
  mount = {
    file_system_arn  = var.file_system.arn
    access_point_arn = var.file_system.writer_access_point_arn
    write            = true
  }
  statements = {
    Artifacts = {
      actions   = ["s3:GetObject"]
      resources = ["${var.deployment.arns.s3}${var.artifacts_bucket}/models/*"]
    }
  }
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_116:terraform apply calls it synchronously and fails with it
  # checkov:skip=CKV_AWS_115:terraform apply alone calls it, as often as its parallelism allows
  # checkov:skip=CKV_AWS_272:the code comes from this deployment's own bucket, under a name made from its content
  # checkov:skip=CKV_AWS_173:the environment holds no secret; Lambda encrypts it with its own key
  # checkov:skip=CKV_AWS_50:no tracing: the SDK's import alone costs a cold start 400 ms; timings are in every result
  function_name = var.name
  description   = "Copies the weights of a model to the file system"
  role          = module.role.arn
  runtime       = var.package.lambda_runtime
  handler       = "weights_sync.handler.handler"
  s3_bucket     = var.package.s3_bucket
  s3_key        = var.package.s3_key
  memory_size   = 1769 # one whole vCPU, because the checksums take most of the time
  timeout       = 900

  environment {
    variables = local.variables
  }

  vpc_config {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = [var.network.security_group_id]
  }

  file_system_config {
    arn              = var.file_system.writer_access_point_arn
    local_mount_path = local.mount
  }

  logging_config {
    log_format = "JSON"
    log_group  = local.log_group
  }

  # Not before it can mount. The models' functions can then mount as well, because they wait for their weights.
  depends_on = [aws_cloudwatch_log_group.this, var.mount_targets]
}

# The function that an apply calls: it has no versions. published.tf in the module model says what may be wrong with it.
# Because of depends_on, it is read after a planned update.
data "aws_lambda_function" "called" {
  function_name = var.name
  qualifier     = "$LATEST"

  depends_on = [aws_lambda_function.this]
}

locals {
  _as_asked = {
    environment = try(data.aws_lambda_function.called.environment[0].variables, null) == local.variables
    code        = data.aws_lambda_function.called.code_sha256 == var.package.code_sha256
  }
  _differences = [for what, same in local._as_asked : what if !same]
}
