"""The way in for Windows: volumes shared by Samba on hosts of the role gateway."""
