"""The trained network: space-time UNet and query transformer."""
