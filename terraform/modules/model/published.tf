# Checks that the version that is to go live is what the registry asks for; proof.tf refuses to call any other. An update of
# a function is three calls (configuration, code, PublishVersion). If one is refused, or Ctrl-C comes in between, the
# provider still stores the planned values: from then on, it finds nothing to change, and the previous version would keep
# serving.
# https://github.com/hashicorp/terraform-provider-aws/issues/29870

# A planned update makes the version unknown, so that this is read after the update.
data "aws_lambda_function" "published" {
  function_name = local.function_name
  qualifier     = aws_lambda_function.inference.version
}

locals {
  # One local, with the only references to what was published: more of either would slow down plans of hundreds of models.
  _differences = [
    for what, same in {
      architecture = data.aws_lambda_function.published.architectures == tolist([var.model.architecture])
      code         = var.package.image_uri != null || data.aws_lambda_function.published.code_sha256 == var.package.code_sha256
      environment  = data.aws_lambda_function.published.environment == aws_lambda_function.inference.environment # the document is in it
      ephemeral_mb = try(data.aws_lambda_function.published.ephemeral_storage[0].size, null) == var.model.ephemeral_mb
      image        = var.package.image_uri == null || data.aws_lambda_function.published.image_uri == var.package.image_uri
      layers       = data.aws_lambda_function.published.layers == var.package.layers
      memory_mb    = data.aws_lambda_function.published.memory_size == var.model.memory_mb
      subnets      = try(data.aws_lambda_function.published.vpc_config[0].subnet_ids, null) == toset(var.network.subnet_ids)
      timeout_s    = data.aws_lambda_function.published.timeout == var.model.timeout_s
    } : what if !same
  ]
}
