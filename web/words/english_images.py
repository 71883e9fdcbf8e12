"""Every word that people read of images in the console, in English."""

WORDS = {
    "nav.images": "Images",
    "images.title": "Images",
    "images.lead": (
        "The appliance's disk as providers take it. Every file is compared with its publisher's signature "
        "before it is sent."
    ),
    "images.built": "Image {profile} {version}",
    "images.refused": "Not handed out: it is not what was signed.",
    "images.signed": "Signed as",
    "images.system": "System",
    "images.disk": "Disk",
    "images.format": "Format",
    "images.smallest": "Smallest useful VM",
    "images.files": "Files of {image}",
    "images.file": "File",
    "images.size": "Size",
    "images.check": "To check it yourself, with the publisher's key:",
    "images.launch": "Launch it: {target}",
    "images.launch.help": (
        "Words in capitals are yours to fill in. user-data.yaml is made for you on the page of a CLADNet:"
    ),
    "images.launch.userdata": "CLADNets",
    "images.userdata": "How user-data gets there:",
    "images.ports": "Ports to open",
    "images.ports.tunnels": "every VM, the CLADNets' tunnels",
    "images.ports.etcd": "control nodes, etcd with certificates of its own",
    "images.ports.console": "control nodes, console, API and enrolment",
    "images.ports.smb": "gateways, volumes for Windows by encrypted SMB 3",
    "images.notes": "To know",
    "images.sources": "Sources",
    "images.none": "No image lies here yet. Where images are built:",
}
