"""Where the image can be launched."""
