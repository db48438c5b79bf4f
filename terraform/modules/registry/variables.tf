variable "registry_file" {
  description = "Path of the model registry, a YAML file; the artifacts' paths count from its folder."
  type        = string
  nullable    = false
}

variable "name_prefix" {
  description = "Name of the deployment, which begins the name of everything that is made from a model's name."
  type        = string
  default     = "modelyard"
  nullable    = false
}
