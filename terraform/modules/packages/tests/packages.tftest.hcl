# What is not built for this account from these sources is refused when planning, with the command that fixes it.

variables {
  functions_dir  = "./tests/fixtures/functions"
  region         = "eu-central-1"
  runtime_images = {}
  models = {
    digits = { runtime = "litert", architecture = "x86_64" }
    scans  = { runtime = "litert", architecture = "x86_64" }
  }
}

run "a_litert_model_runs_from_the_common_code_and_the_layer_of_its_architecture" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/manifest.json"
    local_stack   = false
    models = {
      digits = { runtime = "litert", architecture = "x86_64" }
      scans  = { runtime = "litert", architecture = "arm64" }
    }
  }

  assert {
    condition     = output.models.digits.code == "inference" && output.models.digits.layer == "litert-x86_64"
    error_message = "digits runs from ${jsonencode(output.models.digits)}."
  }
  assert {
    condition     = output.models.scans.layer == "litert-arm64" && output.layers["litert-arm64"].architecture == "arm64"
    error_message = "scans runs from ${jsonencode(output.models.scans)}."
  }
  assert {
    condition     = output.lambda_runtime == "python3.13"
    error_message = "The Lambda runtime is ${output.lambda_runtime}, and the packages were built for Python 3.13."
  }
}

run "models_of_two_runtimes_have_the_code_in_common_and_a_layer_each" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/manifest.json"
    local_stack   = false
    models = {
      digits = { runtime = "litert", architecture = "x86_64" }
      prices = { runtime = "onnx", architecture = "x86_64" }
    }
  }

  assert {
    condition     = output.models.prices == { image_uri = null, code = "inference", layer = "onnx-x86_64" }
    error_message = "prices runs from ${jsonencode(output.models.prices)}."
  }
  assert {
    condition     = output.layers["onnx-x86_64"].runtime == "onnx" && toset(keys(output.layers)) == toset(["litert-x86_64", "onnx-x86_64"])
    error_message = "Uploaded: ${join(", ", keys(output.layers))}."
  }
}

run "only_what_is_used_is_uploaded" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/local/manifest.json"
    local_stack   = true
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  assert {
    condition     = toset(keys(output.code)) == toset(["inference-tensorflow", "weights_sync"]) && length(output.layers) == 0
    error_message = "Uploaded: ${join(", ", concat(keys(output.code), keys(output.layers)))}."
  }
}

run "a_missing_manifest_is_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/nowhere/manifest.json"
    local_stack   = false
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["./tests/fixtures/nowhere/manifest.json does not exist: run `.venv/bin/modelctl package --target aws`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "a_manifest_of_another_version_is_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/foreign/manifest.json"
    local_stack   = false
  }

  expect_failures = [output.code]

  assert {
    condition     = length(output.problems) == 1 && strcontains(output.problems[0], "is not a manifest of version 1")
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "packages_of_other_sources_are_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/stale/manifest.json"
    local_stack   = false
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["the packages are stale, because functions/ has changed since they were built: run `.venv/bin/modelctl package --target aws`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "packages_for_the_local_stack_are_refused_on_aws" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/local/manifest.json"
    local_stack   = false
  }

  expect_failures = [output.code]

  assert {
    condition     = length(output.problems) == 1 && strcontains(output.problems[0], "built for the local stack, but this is AWS")
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "packages_for_aws_are_refused_on_the_local_stack" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/manifest.json"
    local_stack   = true
  }

  expect_failures = [output.code]

  assert {
    condition     = length(output.problems) == 1 && strcontains(output.problems[0], "built for AWS, but this is the local stack")
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "tensorflow_on_aws_without_an_image_is_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/manifest.json"
    local_stack   = false
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["models.wine: the runtime tensorflow is too large for a layer and needs a container image for x86_64: run `.venv/bin/modelctl image tensorflow --architecture x86_64 --repository <your ECR repository in eu-central-1>`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "tensorflow_on_aws_runs_from_the_image_that_the_manifest_names" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/with_images.json"
    local_stack   = false
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  assert {
    condition     = output.models.wine.image_uri == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" && output.models.wine.code == null && output.models.wine.layer == null
    error_message = "wine runs from ${jsonencode(output.models.wine)}."
  }
}

run "models_of_two_architectures_run_from_an_image_each" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/with_images.json"
    local_stack   = false
    models = {
      wine  = { runtime = "tensorflow", architecture = "x86_64" }
      scans = { runtime = "tensorflow", architecture = "arm64" }
    }
  }

  assert {
    condition     = output.models.wine.image_uri == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" && output.models.wine.code == null && output.models.wine.layer == null
    error_message = "wine runs from ${jsonencode(output.models.wine)}."
  }

  assert {
    condition     = output.models.scans.image_uri == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:2222222222222222222222222222222222222222222222222222222222222222" && output.models.scans.code == null && output.models.scans.layer == null
    error_message = "scans runs from ${jsonencode(output.models.scans)}."
  }
}

run "an_image_is_for_one_architecture" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/stale_image.json"
    local_stack   = false
    models        = { wine = { runtime = "tensorflow", architecture = "arm64" } }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["models.wine: the runtime tensorflow is too large for a layer and needs a container image for arm64: run `.venv/bin/modelctl image tensorflow --architecture arm64 --repository <your ECR repository in eu-central-1>`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_of_other_sources_is_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/stale_image.json"
    local_stack   = false
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["models.wine: the image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111 is stale, because functions/inference has changed since it was built: run `.venv/bin/modelctl image tensorflow --architecture x86_64 --repository <your ECR repository in eu-central-1>`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_of_another_region_is_refused" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/with_images.json"
    local_stack   = false
    region        = "us-east-1"
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["models.wine: the image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111 is in eu-central-1, but Lambda accepts only images of its own region, us-east-1: run `.venv/bin/modelctl image tensorflow --architecture x86_64 --repository <your ECR repository in us-east-1>`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "a_copy_of_the_image_in_another_repository_is_known_by_its_digest" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/aws/with_images.json"
    local_stack    = false
    region         = "us-east-1"
    models         = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
    runtime_images = { tensorflow = "210987654321.dkr.ecr.us-east-1.amazonaws.com/mirrored/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" }
  }

  assert {
    condition     = output.models.wine.image_uri == "210987654321.dkr.ecr.us-east-1.amazonaws.com/mirrored/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" && output.models.wine.code == null && output.models.wine.layer == null
    error_message = "wine runs from ${jsonencode(output.models.wine)}."
  }
}

run "an_image_that_is_named_by_a_tag_is_refused" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/aws/with_images.json"
    local_stack    = false
    models         = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
    runtime_images = { tensorflow = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1" }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["runtime_images.tensorflow: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1 is not an ECR image with a digest (a tag could be moved): expected <repository>@sha256:<64 hexadecimal digits>; without this entry, the image that `.venv/bin/modelctl image` recorded is used"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_of_which_nobody_knows_the_sources_is_refused" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/aws/with_images.json"
    local_stack    = false
    models         = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
    runtime_images = { tensorflow = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:3333333333333333333333333333333333333333333333333333333333333333" }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["runtime_images.tensorflow: nothing in ./tests/fixtures/aws/with_images.json says which sources 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:3333333333333333333333333333333333333333333333333333333333333333 was built from: run `.venv/bin/modelctl image tensorflow --architecture x86_64 --repository <your ECR repository in eu-central-1>`, and leave tensorflow out of runtime_images"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_that_is_given_for_another_architecture_is_refused" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/aws/with_images.json"
    local_stack    = false
    models         = { wine = { runtime = "tensorflow", architecture = "arm64" } }
    runtime_images = { tensorflow = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["models.wine: the image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111 is built for x86_64, expected arm64: run `.venv/bin/modelctl image tensorflow --architecture arm64 --repository <your ECR repository in eu-central-1>`, and leave tensorflow out of runtime_images"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_of_a_runtime_that_has_a_layer_is_refused" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/aws/with_images.json"
    local_stack    = false
    models         = { digits = { runtime = "litert", architecture = "x86_64" } }
    runtime_images = { litert = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:1111111111111111111111111111111111111111111111111111111111111111" }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["runtime_images.litert: litert runs from its layer: leave it out of runtime_images"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "an_image_without_packages_is_not_enough" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/aws/image_only.json"
    local_stack   = false
    models        = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
  }

  expect_failures = [output.code]

  assert {
    condition     = output.problems == tolist(["the packages have not been built: run `.venv/bin/modelctl package --target aws`"])
    error_message = "Told: ${join("; ", output.problems)}."
  }
}

run "the_local_stack_needs_no_image" {
  command = plan

  variables {
    manifest_file  = "./tests/fixtures/local/manifest.json"
    local_stack    = true
    models         = { wine = { runtime = "tensorflow", architecture = "x86_64" } }
    runtime_images = { tensorflow = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1" }
  }

  assert {
    condition     = output.models.wine.code == "inference-tensorflow" && output.models.wine.image_uri == null
    error_message = "wine runs from ${jsonencode(output.models.wine)}."
  }
}

run "everything_that_is_missing_is_told_at_once" {
  command = plan

  variables {
    manifest_file = "./tests/fixtures/incomplete/manifest.json"
    local_stack   = false
    models = {
      digits = { runtime = "litert", architecture = "x86_64" }
      scans  = { runtime = "litert", architecture = "arm64" }
    }
  }

  expect_failures = [output.code]

  assert {
    condition = (
      length(output.problems) == 3 &&
      strcontains(output.problems[0], "models.scans: the packages contain no layer of the runtime litert for arm64") &&
      strcontains(output.problems[1], "the packages contain no code weights_sync") &&
      strcontains(output.problems[2], "does not exist")
    )
    error_message = "Told: ${join("; ", output.problems)}."
  }
}
