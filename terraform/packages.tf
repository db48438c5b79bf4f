module "packages" {
  source = "./modules/packages"

  manifest_file  = startswith(var.packages_manifest, "/") ? var.packages_manifest : "${path.root}/${var.packages_manifest}"
  functions_dir  = "${path.root}/../functions"
  local_stack    = local.local_stack
  region         = local.deployment.region
  runtime_images = var.runtime_images
  models         = { for name, model in local.models : name => { runtime = model.runtime, architecture = model.architecture } }
}

# Code and layers go through S3: from a local file, the provider creates functions one after the other, 5 s each.
resource "aws_s3_object" "code" {
  for_each = module.packages.code

  bucket      = aws_s3_bucket.data["artifacts"].id
  key         = "code/${basename(each.value.path)}"
  source      = each.value.path
  source_hash = each.value.sha256

  override_provider {
    default_tags {
      tags = {} # an object of a bucket that is itself tagged needs none
    }
  }
}

resource "aws_s3_object" "layer" {
  for_each = module.packages.layers

  bucket      = aws_s3_bucket.data["artifacts"].id
  key         = "layers/${each.key}/${basename(each.value.path)}"
  source      = each.value.path
  source_hash = each.value.sha256

  override_provider {
    default_tags {
      tags = {} # an object of a bucket that is itself tagged needs none
    }
  }
}

resource "aws_lambda_layer_version" "runtime" {
  for_each = module.packages.layers

  layer_name               = "${var.name}-${each.key}"
  description              = "Dependencies of the runtime ${each.value.runtime}"
  s3_bucket                = aws_s3_object.layer[each.key].bucket
  s3_key                   = aws_s3_object.layer[each.key].key
  compatible_runtimes      = [module.packages.lambda_runtime]
  compatible_architectures = [each.value.architecture]

  lifecycle {
    # The functions switch to the new version before the old one is deleted.
    create_before_destroy = true
  }
}
