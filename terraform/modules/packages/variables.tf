variable "manifest_file" {
  description = "Path of the manifest; the packages lie beside it."
  type        = string
  nullable    = false
}

variable "functions_dir" {
  description = "Folder of the sources that the packages must have been built from."
  type        = string
  nullable    = false
}

variable "local_stack" {
  description = "Whether the packages are to run on the local stack."
  type        = bool
  nullable    = false
}

variable "runtime_images" {
  description = "Container image by runtime."
  type        = map(string)
  nullable    = false
}

variable "models" {
  description = "What each model runs on."
  type = map(object({
    runtime      = string
    architecture = string
  }))
  nullable = false
}
