module "network" {
  source = "./modules/network"
  count  = var.network == null ? 1 : 0

  # All functions share one interface per subnet. Lambda deletes it with the role of the function that created it. That is
  # weights_sync, because the models' functions are created after it and destroyed before it. (This module
  # cannot refer to those functions instead: a reference to a module with for_each waits for all of it, and the functions
  # wait for the network.)
  deployment = local.deployment
  buckets    = local.bucket_arns
  role_arn   = module.weights_sync.role_arn
}

module "existing_network" {
  source = "./modules/existing_network"
  count  = var.network == null ? 0 : 1

  region  = local.deployment.region
  network = var.network
}

locals {
  network = one(concat(module.network, module.existing_network))

  # What identifies a network before it is created.
  network_kind = var.network == null ? "its own" : var.network.vpc_id
}

# The network that the deployment was created in.
resource "terraform_data" "network" {
  input = local.network_kind

  lifecycle {
    ignore_changes = [input]

    # A file system's mount targets are in one network, and every function mounts them: moving both replaces the mount
    # targets while functions use them, and destroys a network whose interfaces Lambda keeps for up to 20 minutes.
    postcondition {
      condition     = self.input == local.network_kind
      error_message = "The network of a deployment cannot be changed: this one is in ${self.input == "its own" ? "a network of its own" : self.input}, with the mount targets of its weights and the network interfaces of its functions. Restore the variable network (${self.input == "its own" ? "null" : "vpc_id = ${self.input}"}). To move, create another deployment with another name in the other network, upload there, and destroy this one."
    }
  }
}
