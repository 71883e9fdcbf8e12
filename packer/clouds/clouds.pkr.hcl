# Bakes inside a provider: launches the exported image there, runs your scripts, checks it, seals it, and keeps a new image.
#
#   packer validate|build -only='amazon-ebs.*' -var image=ami-… -var name=larva-mine -var provision='["mine.sh"]' packer/clouds
#
# Who may log in is the provider's own command's business (aws, az, gcloud, OS_* variables): no secret is a variable here.
# Packer 1.6 has these builders in itself; later ones fetch them once: `packer init packer/clouds/plugins`.
packer {
  required_version = ">= 1.6.5"
}

source "amazon-ebs" "appliance" {
  source_ami    = var.image
  ami_name      = var.name
  region        = var.region
  instance_type = "t3.small"
  ena_support   = true
  ssh_username  = var.user
}

source "azure-arm" "appliance" {
  use_azure_cli_auth                       = true
  custom_managed_image_name                = var.image
  custom_managed_image_resource_group_name = var.group
  managed_image_name                       = var.name
  managed_image_resource_group_name        = var.group
  location                                 = var.region
  os_type                                  = "Linux"
  vm_size                                  = "Standard_B1ms"
  ssh_username                             = var.user
}

source "googlecompute" "appliance" {
  project_id   = var.group
  source_image = var.image
  image_name   = var.name
  zone         = var.region
  machine_type = "e2-small"
  ssh_username = var.user
}

source "openstack" "appliance" {
  source_image_name = var.image
  image_name        = var.name
  region            = var.region
  flavor            = var.flavor
  ssh_username      = var.user
}

build {
  name = "larva-cloud"
  sources = [
    "source.amazon-ebs.appliance",
    "source.azure-arm.appliance",
    "source.googlecompute.appliance",
    "source.openstack.appliance",
  ]

  # The steps of the local bake, which are run by root there and by a user with sudo here.
  provisioner "shell" {
    execute_command = var.as_root
    script          = "${path.root}/../scripts/await-boot.sh"
  }

  dynamic "provisioner" {
    for_each = length(var.provision) > 0 ? ["shell"] : []
    labels   = ["shell"]
    content {
      execute_command = var.as_root
      scripts         = var.provision
    }
  }

  provisioner "shell" {
    execute_command = var.as_root
    script          = "${path.root}/../scripts/self-check.sh"
  }

  provisioner "shell" {
    execute_command = var.as_root
    script          = "${path.root}/../scripts/seal.sh"
  }
}
